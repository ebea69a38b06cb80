/**
 * Make a function that does `work` once, `ms` after it was called, however often it was; it has
 * `cancel`.
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

/** Do `work` at once, and a second after the job changed, until `dispose`; as screens have it. */
export function watched(context, work) {
  const look = soon(1000, work);
  const unsubscribe = context.onChange(look);
  work();
  return {
    dispose() {
      look.cancel();
      unsubscribe();
    },
  };
}
