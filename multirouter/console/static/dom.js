// Elements from descriptions: `render` changes only what differs, so that focus, selection and
// scroll positions outlive each update.

const SVG = "http://www.w3.org/2000/svg";

/** Describes an element. `props` are attributes; `on...` are listeners, `style` an object. */
export function h(tag, props, ...children) {
  return { tag, props: props ?? {}, key: props?.key, children: flat(children) };
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Makes the children of `parent` match the descriptions. */
export function render(parent, ...children) {
  patchChildren(parent, flat(children));
}

function patchChildren(parent, wanted) {
  const keyed = new Map();
  for (const node of parent.childNodes) if (node.$key !== undefined) keyed.set(node.$key, node);
  let at = parent.firstChild;
  for (const item of wanted) {
    let node = null;
    if (typeof item !== "object") {
      if (at?.nodeType === Node.TEXT_NODE) node = at;
      else node = document.createTextNode("");
      if (node.data !== String(item)) node.data = String(item);
    } else {
      node = item.key === undefined ? at : keyed.get(item.key);
      const fits = node && node.$tag === item.tag && node.$key === item.key;
      if (!fits) node = create(item.tag, parent, item.key);
      patchProps(node, item.props);
      if (!node.$opaque) patchChildren(node, item.children);
    }
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function create(tag, parent, key) {
  const inSvg = tag === "svg" || (parent.namespaceURI === SVG && parent.tagName !== "foreignObject");
  const node = inSvg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  node.$tag = tag;
  node.$key = key;
  node.$props = {};
  return node;
}

function patchProps(node, props) {
  const old = node.$props;
  for (const name in old) if (!(name in props)) setProp(node, name, undefined, old[name]);
  for (const name in props) if (props[name] !== old[name] || name === "value") setProp(node, name, props[name], old[name]);
  node.$props = props;
}

function setProp(node, name, value, old) {
  if (name === "key") return;
  if (name.startsWith("on")) {
    const event = name.slice(2).toLowerCase();
    if (old) node.removeEventListener(event, old);
    if (value) node.addEventListener(event, value);
  } else if (name === "style") {
    for (const property in old ?? {}) if (!(property in (value ?? {}))) node.style.removeProperty(property);
    for (const property in value ?? {}) node.style.setProperty(property, value[property]);
  } else if (name === "value" && node.tagName !== "OPTION") {
    // What a person is typing is not overwritten.
    if (value !== undefined && value !== old && node.value !== value) node.value = value;
  } else if (name === "checked" || name === "disabled" || name === "open" || name === "selected") {
    node[name] = Boolean(value);
  } else if (value === undefined || value === null || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : value);
  }
}
