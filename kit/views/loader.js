// Questions about a payload: each is answered once, by a message of its own. What is large comes in
// slices, one after the other, so that neither the kernel nor the page stands still.

const SLICE_CHARS = 400_000;
const SLICE_BYTES = 1_000_000;
const COPY_CHARS = 2_000_000;
let questions = 0;

/** The answer to one question about the job in the pane; null if another job is looked at by then. */
function ask(board, request) {
  questions += 1;
  const name = `ask-${questions}`;
  const { wanted, generation } = board;
  return new Promise((resolve) => {
    const stop = board.onChange(() => {
      const part = board.parts.get(name);
      if (part) board.parts.delete(name);
      else if (board.wanted === wanted && board.generation === generation && board.alive) return;
      stop();
      resolve(part ?? null);
    });
    board.send({ ...request, name, i: wanted });
  });
}

/**
 * Text of a payload or of a part of it, slice by slice.
 *
 * @param onSlice (text, end, n) -> false to stop; n is the number of characters in all
 * @param asBytes whether a slice is given as the bytes that came
 * @return a sentence if it did not come, else ""
 */
async function fetchText(board, source, start, limit, onSlice, asBytes = false) {
  const decoder = new TextDecoder();
  let at = start;
  while (at < limit) {
    const part = await ask(board, { t: "slice", ...source, start: at, limit: Math.min(SLICE_CHARS, limit - at) });
    if (!part) return "Another job is looked at.";
    if (!part.buffer) return part.s ?? "no longer stored";
    const goOn = onSlice(asBytes ? part.buffer : decoder.decode(part.buffer), part.end, part.n) !== false;
    if (!goOn || part.end >= part.n || part.end <= at) return "";
    at = part.end;
  }
  return "";
}

/** All bytes of a picture, sound or film: {parts, mime}, or {s} with the reason. */
async function fetchMedia(board, source, onProgress = null) {
  const parts = [];
  let at = 0;
  for (;;) {
    const part = await ask(board, { t: "media", ...source, start: at, limit: SLICE_BYTES });
    if (!part) return { s: "Another job is looked at." };
    if (!part.buffer) return { s: part.s ?? "not shown" };
    parts.push(part.buffer);
    at += part.buffer.byteLength;
    onProgress?.(at, part.n);
    if (at >= part.n || !part.buffer.byteLength) return { parts, mime: part.mime };
  }
}

const EXTENSIONS = {
  "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif",
  "audio/wav": "wav", "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/mp4": "m4a", "audio/webm": "weba",
  "video/mp4": "mp4", "video/webm": "webm", "video/ogg": "ogv",
};

/** A key as the name of a file: letters, digits, dots and dashes. */
function fileName(key, fallback, extension) {
  const plain = key.replace(/[^\w-]+/g, "_").replace(/^_+|_+$/g, "").slice(0, 60);
  return `${plain || fallback}.${extension}`;
}

/** Hand bytes to the browser as a file. The address is one of our own bytes, never of a payload. */
function saveFile(name, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  const link = make("a");
  link.download = name;
  link.href = url;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Put text on the clipboard; false if the browser does not allow it. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // a page that is not served over https has no clipboard but this one
    const box = make("textarea", "kit-unseen", text);
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

/** A button that says for a moment what became of its click. */
function sayDone(element, text, usual) {
  say(element, text);
  clearTimeout(element.kitTimer);
  element.kitTimer = setTimeout(() => say(element, usual), 1500);
}
