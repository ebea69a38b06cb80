/** The address: what stands behind `#`, so that one document serves all screens below any prefix. */

/** Return what the address asks for */
export function placeOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

/** Return the address of a place, with its `#` */
export function hashOf(path, query = null) {
  const parts = (Array.isArray(path) ? path : path.split("/").filter(Boolean)).map(encodeURIComponent);
  const search = new URLSearchParams(query ?? {}).toString();
  return `#/${parts.join("/")}${search ? `?${search}` : ""}`;
}

/** Go somewhere, as a link would. */
export function go(path, query = null) {
  location.hash = hashOf(path, query);
}

/** Change parts of the query; null takes one out. `replace`: Back passes over what was before. */
export function setQuery(changes, { replace = false } = {}) {
  const { path, query } = placeOf(location.hash);
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === "") query.delete(name);
    else query.set(name, value);
  }
  const hash = hashOf(path, query);
  if (hash === location.hash) return;
  if (!replace) {
    location.hash = hash;
    return;
  }
  history.replaceState(null, "", hash);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Return a text without its escapes, or as it is. */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
