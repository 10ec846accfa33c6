"""What holds whatever happens: machines that try, and simple models that know."""
