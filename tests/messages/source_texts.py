"""Collects the text of every message from the package's source.

*Exceptions and warnings*: the text arguments of each exception class and of each function of the
package that makes an exception. *Other texts*: the remaining literals that hold prose, such as
help texts, reasons and log events. Docstrings and type expressions are left out.

A field of an f-string is shown as `{name}`. A local variable or a constant is replaced by its text;
one with several texts gives one template for each.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "multirouter"

NOT_READ = {
    "core/failures/retry_after.py": "patterns in messages of providers",
    "core/failures/signatures.py": "patterns in messages of providers",
    "core/failures/wordings.py": "patterns in messages of providers",
    "testing/fakes/answers.py": "answers of a fake provider",
    "testing/fakes/anthropic.py": "messages of a provider, imitated",
    "testing/fakes/gemini.py": "messages of a provider, imitated",
    "testing/fakes/openai.py": "messages of a provider, imitated",
    "testing/fakes/replies.py": "messages of a provider, imitated",
}
"""Modules whose texts are not messages of this package, and what they are."""

EXCEPTION = re.compile(r"(Error|Failed|Timeout|Interrupted|Available|TooLong|Rejected)$")
"""Names of exception classes: the package's, Python's and other libraries'."""
PROSE = re.compile(r"[a-zA-Z]{2,}[,;:.)'\"`]* ['\"`({]*[a-zA-Z0-9]|\}:? [a-z]{2,}|^[a-z]+ \{")
"""At least two words, or a word beside a field."""
MARKUP = re.compile(r"^(INSERT|PRAGMA|DELETE|SELECT|BEGIN|CREATE|<!doctype|[\w-]+=)|\(\?|\\b|\\s")
"""SQL, HTML and regular expressions."""
TRANSPARENT = frozenset({"dumps", "join", "len", "map", "repr", "sorted", "str"})
"""Functions whose call is shown as its last argument."""
MAX_TEXTS = 12
"""Texts kept of one expression with many alternatives."""

Names = Mapping[str, list[ast.expr]]
Function = ast.FunctionDef | ast.AsyncFunctionDef

NO_TEXT = frozenset({"annotation", "ctx", "decorator_list", "op", "ops", "returns", "type_comment"})
"""Fields of syntax nodes that hold no text."""


@dataclass(frozen=True)
class Template:
    """One message as it stands in the source.

    Attributes:
        module: path of the module below the package.
        kind: the class or function that receives the text, or "" for other texts.
        texts: its text arguments; a ConfigurationError has two.
    """

    module: str
    kind: str
    texts: tuple[str, ...]

    def __str__(self) -> str:
        text = " | ".join(self.texts)
        return f"{self.kind}: {text}" if self.kind else text


class Module:
    """The syntax tree of one module, walked once.

    Attributes:
        name: its path below the package.
        nodes: its nodes in the order of the source, without docstrings, imports and annotations.
        scopes: for the module and each class and function in it, the number of the scope around
            it (-1 for none) and its own nodes.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.nodes: list[ast.AST] = []
        self.scopes: list[tuple[int, list[ast.AST]]] = []
        self._scope(ast.parse(source), -1)

    def functions(self) -> Iterator[Function]:
        """Yields all functions and methods."""
        return (node for node in self.nodes if isinstance(node, Function))

    def _scope(self, owner: ast.AST, around: int) -> None:
        own: list[ast.AST] = []
        self.scopes.append((around, own))
        number = len(self.scopes) - 1
        for child in _children(owner):
            self._visit(child, number, own)

    def _visit(self, node: ast.AST, number: int, own: list[ast.AST]) -> None:
        self.nodes.append(node)
        own.append(node)
        if isinstance(node, Function | ast.ClassDef):
            self._scope(node, number)
            return
        for child in _children(node):
            self._visit(child, number, own)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below a node, without docstrings, imports and annotations."""
    for name in node._fields:
        if name in NO_TEXT:
            continue
        value = getattr(node, name, None)
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, ast.AST):
                yield child


@cache
def modules() -> tuple[Module, ...]:
    """Returns all modules of the package."""
    return tuple(
        Module(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    )


@cache
def templates() -> tuple[Template, ...]:
    """Returns every message of the package, in the order of modules and lines."""
    makers = functions_that_make_exceptions(modules())
    return tuple(
        template
        for module in modules()
        if module.name not in NOT_READ
        for template in templates_of(module, makers)
    )


def functions_that_make_exceptions(found: Iterable[Module]) -> frozenset[str]:
    """Returns the names of functions whose return type is an exception, or several."""
    return frozenset(
        function.name
        for module in found
        for function in module.functions()
        if function.returns is not None
        and any(
            isinstance(node, ast.Name) and EXCEPTION.search(node.id)
            for node in _members(function.returns)
        )
    )


def _members(annotation: ast.expr) -> Iterator[ast.expr]:
    """The members of a union."""
    if isinstance(annotation, ast.BinOp):
        yield from _members(annotation.left)
        yield from _members(annotation.right)
    else:
        yield annotation


def templates_of(module: Module, makers: Iterable[str]) -> list[Template]:
    """Returns the messages of one module, without repetitions: exceptions first."""
    reader = _Reader(frozenset(makers) | {"warn"})
    reader.read(module)
    found = {Template(module.name, kind, texts): None for kind, texts in reader.exceptions}
    found |= {Template(module.name, "", (text,)): None for text in reader.other_texts(module)}
    return list(found)


class _Reader:
    """Reads the messages of one module.

    Attributes:
        exceptions: class or function, and text arguments, of each exception.
    """

    def __init__(self, makers: frozenset[str]) -> None:
        self._makers = makers
        self._used: set[ast.AST] = set()
        self.exceptions: list[tuple[str, tuple[str, ...]]] = []

    def read(self, module: Module) -> None:
        """Reads the exceptions of each scope, with the texts of its variables."""
        known: list[Names] = []
        for around, nodes in module.scopes:
            outer = known[around] if around >= 0 else {}
            names = {**outer, **_texts_by_name(nodes)}
            known.append(names)
            for node in nodes:
                if isinstance(node, ast.Call):
                    self._read_call(node, names)

    def _read_call(self, call: ast.Call, names: Names) -> None:
        kind = _name_of(call.func)
        if kind not in self._makers and not EXCEPTION.search(kind):
            return
        arguments = [a for a in call.args if not isinstance(a, ast.Starred)]
        arguments += [k.value for k in call.keywords if k.arg in {"message", "what", "why"}]
        choices = []
        for argument in arguments:
            texts = self._texts(argument, names)
            self._used.update(ast.walk(argument))
            if kind == "ConfigurationError" or any(map(_has_words, texts)):
                choices.append(texts)
        for texts in islice(product(*choices), MAX_TEXTS):
            if any(map(_has_words, texts)):
                self.exceptions.append((kind, texts))

    def other_texts(self, module: Module) -> Iterator[str]:
        """Yields the prose that no exception uses."""
        for node in module.nodes:
            if isinstance(node, ast.Constant | ast.JoinedStr) and node not in self._used:
                self._used.update(ast.walk(node))
                for text in self._texts(node, {}):
                    if PROSE.search(text) and not MARKUP.search(text):
                        yield text

    def _texts(self, node: ast.expr, names: Names) -> list[str]:  # noqa: PLR0911 - one a kind
        """The texts that an expression may have; a part without a known text is a field."""
        match node:
            case ast.Constant():
                return [node.value] if isinstance(node.value, str) else []
            case ast.JoinedStr():
                parts = [self._texts(part, {}) for part in node.values]
                return ["".join(chosen) for chosen in islice(product(*parts), MAX_TEXTS)]
            case ast.FormattedValue():
                return [_field(node.value)]
            case ast.BinOp(op=ast.Add()):
                sides = product(self._texts(node.left, names), self._texts(node.right, names))
                return ["".join(pair) for pair in sides]
            case ast.IfExp():
                return self._texts(node.body, names) + self._texts(node.orelse, names)
            case ast.BoolOp():
                return [text for value in node.values for text in self._texts(value, names)]
            case ast.Name(id=name) if name in names:
                others = {other: values for other, values in names.items() if other != name}
                for value in names[name]:
                    self._used.update(ast.walk(value))
                return [text for value in names[name] for text in self._texts(value, others)]
        return [_field(node)]


def _texts_by_name(nodes: Iterable[ast.AST]) -> dict[str, list[ast.expr]]:
    """The text-like values that each variable of a scope is set to."""
    found: dict[str, list[ast.expr]] = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_text(value):
                found.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                if _is_text(value):
                    found.setdefault(name, []).append(value)
    return found


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return isinstance(node.value, str)
        case ast.IfExp():
            return _is_text(node.body) and _is_text(node.orelse)
        case ast.BinOp():
            return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr)


def _has_words(text: str) -> bool:
    return bool(re.search(r"[a-zA-Z]{2,}", re.sub(r"\{[^{}]*\}", "", text)))


def _name_of(function: ast.expr) -> str:
    """The last name of a called function."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _field(node: ast.expr) -> str:
    return f"{{{_value(node)}}}"


def _value(node: ast.expr) -> str:  # noqa: C901, PLR0911 - one return for each kind of node
    """An expression in short: the last name of an attribute, a call with its first argument."""
    match node:
        case ast.Call(func=function, args=[*_, last]) if _name_of(function) in TRANSPARENT:
            return _value(last)
        case ast.Call(func=function, args=[first, *_]):
            return f"{_name_of(function)}({_value(first)})"
        case ast.Call(func=function):
            return f"{_name_of(function)}()"
        case ast.Attribute(attr="__name__" | "__qualname__"):
            return "type" if isinstance(node.value, ast.Call) else "name"
        case ast.Attribute():
            return node.attr
        case ast.Name():
            return node.id
        case ast.Subscript() | ast.Starred():
            return _value(node.value)
        case ast.BoolOp():
            return _value(node.values[0])
        case ast.GeneratorExp() | ast.ListComp():
            return f"{_value(node.elt)}, ..."
        case ast.BinOp():
            return f"{_value(node.left)} {_OPERATORS.get(type(node.op), '?')} {_value(node.right)}"
        case ast.Constant():
            return str(node.value)
    return "..."


_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}


def render() -> str:
    """Returns all messages as text, under the path of their module."""
    lines: list[str] = []
    for template in templates():
        heading = f"\n{template.module}"
        if heading not in lines:
            lines.append(heading)
        lines.append("  " + str(template).rstrip("\n").replace("\n", "\n      "))
    return "\n".join(lines).lstrip("\n") + "\n"
