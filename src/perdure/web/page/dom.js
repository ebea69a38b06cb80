/**
 * Elements are made here and nowhere else: of text nodes and attributes, never of HTML, so that
 * no value of a run can be more than text.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param {string} tag
 * @param {Object|null} attributes `onNAME` is a listener, `style` and `dataset` are objects,
 *   `class` may be a list; true is an attribute without a value, null and false none
 * @param {...(Node|string|number|Array|null|false)} children lists are taken apart
 * @returns {HTMLElement}
 */
export function h(tag, attributes, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** Make an element of SVG; as `h`. */
export function svg(tag, attributes, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

/** Take all children from an element. */
export function clear(element) {
  element.replaceChildren();
}

/** Give an element other children; as those of `h`. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    set(element, name, value);
  }
  element.append(...nodes(children));
  return element;
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name.startsWith("on")) {
    element.addEventListener(name.slice(2), value);
  } else if (name === "style") {
    // Through the object model: a style attribute is refused by the content-security policy.
    for (const [property, each] of Object.entries(value)) {
      element.style.setProperty(property, String(each));
    }
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else if (name === "class" && Array.isArray(value)) {
    element.setAttribute("class", value.filter(Boolean).join(" "));
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}
