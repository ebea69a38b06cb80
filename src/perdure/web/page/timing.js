/** When things are done. */

/**
 * Make a function that does something once after it was called, however often it was.
 *
 * @param {number} ms from the first call until it is done
 * @param {function(): void} work
 * @returns {function(): void} with `cancel`
 */
export function soon(ms, work) {
  let timer = null;
  const ask = () => {
    timer ??= setTimeout(() => {
      timer = null;
      work();
    }, ms);
  };
  ask.cancel = () => {
    clearTimeout(timer);
    timer = null;
  };
  return ask;
}
