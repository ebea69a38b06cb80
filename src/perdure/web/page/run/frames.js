const FRAME = /^\s*File "(.*)", line (\d+), in (.*)$/;
const LIBRARY = /[\\/](site-packages|dist-packages|lib[\\/]python[\d.]+|perdure)[\\/]|^<frozen /;

/** Return the user's own frames of a traceback's last error, the innermost first. */
export function ownFrames(traceback) {
  const lines = (traceback ?? "").split("\n");
  const start = lines.findLastIndex((line) => line.startsWith("Traceback "));
  const found = [];
  for (let index = Math.max(start, 0); index < lines.length; index += 1) {
    const match = FRAME.exec(lines[index]);
    if (!match || LIBRARY.test(match[1])) continue;
    const code = lines[index + 1] ?? "";
    found.push({
      file: match[1], line: Number(match[2]), name: match[3],
      code: FRAME.test(code) ? "" : code.trim(),
    });
  }
  return found.reverse();
}
