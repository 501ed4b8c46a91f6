// Chunks of a stream: the text that they make together, and each of them as it was posted.

const CHUNKS_SHOWN = 3_000; // in the page at once, while it grows
const CHUNK_LINE = 160;

/** The text in one chunk: itself, or a token in one of the shapes that model servers stream; null if none. */
function tokenText(value) {
  if (typeof value === "string") return value.startsWith("data:") ? eventText(value) : value;
  if (value === null || typeof value !== "object") return null;
  if (Array.isArray(value)) {
    const parts = value.map(tokenText);
    return value.length && parts.every((part) => part !== null) ? parts.join("") : null;
  }
  if (Array.isArray(value.choices)) return value.choices.map(choiceText).join("");
  for (const found of [value.delta?.text, value.delta, value.text, value.token?.text, value.token, value.content, value.response]) {
    if (typeof found === "string") return found;
  }
  return null;
}

function choiceText(choice) {
  if (Array.isArray(choice?.tokens)) return choice.tokens.join("");
  const found = choice?.delta?.content ?? choice?.text ?? choice?.message?.content ?? "";
  return typeof found === "string" ? found : "";
}

/** Server-sent events: "data: {...}" lines; the last says [DONE]. */
function eventText(text) {
  let all = "";
  for (const line of text.split(/\r?\n/)) {
    const data = line.startsWith("data:") ? line.slice(5).trim() : "";
    if (!data || data === "[DONE]") continue;
    try {
      all += tokenText(JSON.parse(data)) ?? "";
    } catch {
      return text;
    }
  }
  return all;
}

/** The text of a chunk given as JSON; null if it has none. */
function chunkToken(json) {
  try {
    return tokenText(JSON.parse(json));
  } catch {
    return null;
  }
}

class StreamPart {
  /**
   * @param before the part of the same stream that this one takes the place of; null if there was none
   * @param treeOf called with the stream's description; gives an element of all its chunks
   */
  constructor(board, detail, before, treeOf) {
    this.board = board;
    this.detail = detail;
    this.before = before?.box.isConnected ? { mode: before.chosen, top: before.box.scrollTop, end: atBottom(before.box) } : null;
    const { stream } = detail;
    const known = [...stream.head, ...stream.tail, ...stream.live];
    const tokens = known.map(chunkToken).filter((text) => text !== null);
    this.texty = tokens.length >= known.length / 2 && (tokens.some(Boolean) || !known.length);
    this.plain = known.every((json) => json.startsWith('"') && !json.startsWith('"data:'));
    this.element = make("div", detail.final ? "kit-stream" : "kit-stream kit-stream-runs");
    this.count = make("span", "kit-soft", streamText(stream, detail.final));
    this.modes = make("span", "kit-modes");
    const head = make("div", "kit-stream-head");
    head.append(this.count, this.modes);
    this.box = make("div", "kit-stream-box");
    this.box.setAttribute("aria-label", "Stream");
    this.element.append(head, this.box);
    this.treeOf = treeOf;
    this.chosen = this.before?.mode ?? null;
    this.choose(this.texty ? this.chosen ?? "text" : "chunks");
    this.element.append(sizeBar(stream.largest ?? 0, [[CHUNK_LIMIT_BYTES, "a chunk"]], "largest chunk"));
  }

  choose(mode) {
    this.mode = mode;
    const { stream } = this.detail;
    if (this.texty && stream.n) {
      this.modes.replaceChildren(...["text", "chunks"].map((one) => {
        const chip = button("kit-mode", one === "text" ? "Text" : "Chunks", () => {
          this.chosen = one;
          this.choose(one);
          if (!this.detail.final) this.box.scrollTop = this.box.scrollHeight;
        });
        chip.setAttribute("aria-pressed", String(one === mode));
        return chip;
      }));
    }
    this.box.className = `kit-stream-box kit-stream-${mode}`;
    this.box.classList.toggle("kit-growing", mode === "text" && !this.detail.final);
    this.tail = null;
    if (mode === "chunks" && (stream.tree || stream.later)) {
      this.box.replaceChildren(this.treeOf(stream));
      this.add(stream.live, stream.n - stream.live.length);
    } else {
      this.box.replaceChildren();
      this.add(stream.head, 0);
      if (stream.left) this.box.append(this.gap(stream));
      this.add(stream.tail, stream.head.length + stream.left);
      this.add(stream.live, stream.n - stream.live.length);
    }
    this.drawn = stream.live.length;
  }

  /** What was left out between the first and the last chunks. */
  gap(stream) {
    const cut = `… ${plural(stream.left, "chunk")} …`;
    if (this.mode === "chunks" || !this.detail.final) return make("span", "kit-cut", cut);
    const next = button("kit-cut", cut, async () => {
      next.disabled = true;
      const texts = [];
      const why = await fetchText(this.board, { what: "stream", at: [] }, 0, Infinity, (text) => {
        texts.push(text);
        say(next, `… ${bytes(texts.length * SLICE_CHARS)} …`);
        return next.isConnected;
      });
      const whole = why ? null : wholeStream(texts.join(""));
      if (whole === null) say(next, why || cut);
      else {
        const raw = make("pre", "kit-raw-text");
        for (let at = 0; at < whole.length; at += BLOCK_CHARS) raw.append(make("span", "kit-raw-block", whole.slice(at, at + BLOCK_CHARS)));
        this.box.replaceChildren(raw);
      }
    });
    return next;
  }

  add(chunks, first) {
    if (this.mode === "text") {
      this.box.append(...chunks.map((json) => make("span", "kit-chunk", chunkToken(json) ?? "")));
    } else {
      this.box.append(...chunks.map((json, k) => {
        const line = make("div", "kit-chunk-line");
        const cut = json.length > CHUNK_LINE ? `${json.slice(0, CHUNK_LINE - 20)} … ${json.slice(-16)}` : json;
        line.append(make("span", "kit-index", count(first + k)), make("span", "kit-code", visible(cut)), make("span", "kit-soft kit-chunk-size", bytes(json.length)));
        return line;
      }));
    }
  }

  /** Once it is in the page: at the place where the person was, else at what came last while it grows. */
  settle() {
    if (!this.box.isConnected) return;
    const { before } = this;
    this.before = null;
    if (before && !before.end) this.box.scrollTop = before.top;
    else if (before || !this.detail.final) this.box.scrollTop = this.box.scrollHeight;
  }

  /** What came since; false if there is no place for it. */
  grow() {
    const { stream } = this.detail;
    if (!this.box.isConnected || this.board.detail !== this.detail) return false;
    const fresh = stream.live.slice(this.drawn);
    if (!fresh.length) return true;
    const bottom = atBottom(this.box);
    this.add(fresh, stream.n - fresh.length);
    this.drawn = stream.live.length;
    this.thin();
    if (bottom) this.box.scrollTop = this.box.scrollHeight;
    say(this.count, streamText(stream, false));
    return true;
  }

  /** Thousands of chunks as elements of their own are too many: the older ones are joined, or go. */
  thin() {
    const over = this.box.childNodes.length - CHUNKS_SHOWN;
    if (over <= 0) return;
    const old = [...this.box.childNodes].slice(0, over + CHUNKS_SHOWN / 3);
    if (this.mode === "text") old[0].before(make("span", "", old.map((one) => one.textContent).join("")));
    else old[0].before(make("div", "kit-soft", "… earlier chunks are shown when the job has ended …"));
    for (const one of old) one.remove();
  }
}

/** All chunks as one text; null if they are no JSON after all. */
function wholeStream(json) {
  try {
    return JSON.parse(json).map((value) => tokenText(value) ?? "").join("");
  } catch {
    return null;
  }
}

function streamText(stream, final) {
  const missed = !final && stream.missed ? `, ${count(stream.missed)} shown when it ends` : "";
  const size = stream.bytes ? `, ${bytes(stream.bytes)}` : "";
  return `${plural(stream.n, "chunk")}${final ? size : " so far"}${missed}`;
}
