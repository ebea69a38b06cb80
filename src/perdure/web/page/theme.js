/** The theme's colours, for what is drawn by hand; the style sheet alone says what they are. */

const NAMES = [
  "ground", "raised", "sunken", "line", "text", "dim", "faint", "accent", "accent-text", "done",
  "running", "waiting", "failed", "replayed", "queued", "held", "backoff", "committing",
];

/** @returns {Object<string, string>} the colours as they are now, by the names of the properties */
export function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/**
 * Call a function when the theme changes.
 *
 * @returns {function(): void} which ends it
 */
export function onTheme(listener) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", listener);
  return () => dark.removeEventListener("change", listener);
}
