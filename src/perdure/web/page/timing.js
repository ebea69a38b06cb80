/** When things are done. */

/**
 * Make a function that does `work` once, `ms` after it was called, however often it was; it has
 * `cancel`, and `now` for at once.
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
  ask.now = work;
  return ask;
}
