/**
 * Elements are made here and nowhere else: of text nodes and attributes, never of HTML, so that
 * no value of a run can be more than text; what of a text is not seen is written out.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element.
 *
 * @param tag its name, with classes behind it: `p.dim.cut`; a button submits only if it is told to
 * @param attributes `onNAME` is a listener, `style` and `dataset` are objects, `class` may be a
 *   list; true is an attribute without a value, null and false none
 * @param children lists are taken apart; null, undefined and false are none
 */
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (name === "button") element.type = "button";
  if (classes.length) element.className = classes.join(" ");
  return furnished(element, attributes, children);
}

/** Make an element without attributes; as `h`. */
export function e(tag, ...children) {
  return h(tag, null, ...children);
}

/** Make a text that stands back. */
export function dim(...children) {
  return e("span.dim", children);
}

/** Make an element of SVG; as `h`. */
export function svg(tag, attributes, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

/** Give an element other children; as those of `h`. */
export function replace(element, ...children) {
  element.replaceChildren(...nodes(children));
}

/** Give an element what is made of a value, where that is another; the focus stays where it was. */
export function renew(element, value, make) {
  const text = JSON.stringify(value);
  if (element.made === text) return;
  element.made = text;
  const reached = () => [...element.querySelectorAll("a, button")];
  const at = reached().indexOf(document.activeElement);
  replace(element, make(value));
  reached()[at]?.focus();
}

function furnished(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) set(element, name, value);
  element.append(...nodes(children));
  return element;
}

function set(element, name, value) {
  if (value == null || value === false) return;
  if (name.startsWith("on")) {
    element.addEventListener(name.slice(2), value);
  } else if (name === "style") {
    // Through the object model: a style attribute is refused by the content-security policy.
    for (const [property, each] of Object.entries(value)) element.style.setProperty(property, each);
  } else if (name === "dataset") {
    Object.assign(element.dataset, value);
  } else {
    const text = Array.isArray(value) ? value.filter(Boolean).join(" ") : value;
    element.setAttribute(name, text === true ? "" : text);
  }
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child != null && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(printable(String(child)))));
}

// Control characters, halves of characters, and marks that turn or hide the text around them.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Return the text with all that is not seen, or acts on what is, written out. */
export function printable(text) {
  return text.replace(UNSEEN, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}
