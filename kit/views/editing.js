// What is being edited in an input editor, and the small questions about text that it asks.

const MESSAGE_CHARS = 400_000; // a longer input travels in pieces
const PIECE_BYTES = 1_000_000;
const FIRST_VALUES = { string: '""', integer: "0", number: "0.0", boolean: "false", array: "[]", object: "{}", null: "null" };

/** What is being edited; it outlives a view, and ends with the page. */
class InputState {
  constructor(board) {
    this.board = board;
    this.open = false;
    this.text = "";
    this.dirty = false; // changed by the person since it was filled in
    this.whole = null; // {bytes, text} of an input too long to edit; text null: the kernel has it
    this.parts = new InputParts();
    this.reads = { fields: [], by: "handler", closed: false };
    this.limits = [RUN_LIMIT_BYTES, 2 * RUN_LIMIT_BYTES]; // /run, /runsync
    this.number = null; // the kernel's for what it keeps of this input
    this.source = "";
    this.note = "";
    this.started = false;
    board.on_editor = (content) => this.fill(content);
  }

  /** Ask for an input to begin with: that of a job, else the last one. */
  ask(job = null) {
    this.asked = { job };
    this.board.send({ t: "editor", p: this.board.page, i: job });
  }

  fill(content) {
    if (content.p !== this.board.page) return;
    if (content.s) {
      this.note = content.s;
      this.started = true;
      this.board.changed("editor");
      return;
    }
    this.reads = { fields: content.fields, by: content.by, closed: content.closed };
    this.limits = content.limits;
    // what is being written stays, unless the person asked for another input
    if (!this.dirty || this.asked?.job !== null) {
      this.text = content.text;
      this.whole = content.whole === null ? null : { bytes: content.whole, text: null };
      this.parts.reset(content.kept);
      this.number = content.e;
      this.source = content.source;
      this.note = content.withheld ? "Keys of that request that may hold secrets are left out: they are not stored." : "";
      this.dirty = false;
    }
    this.started = true;
    this.board.changed("editor");
  }

  /** Content of the run message, and the bytes that go before it in pieces. */
  message() {
    if (this.whole && this.whole.text === null) return [{ e: this.number, whole: true }, []];
    const text = this.whole ? this.whole.text : this.parts.fill(this.text);
    if (text.length <= MESSAGE_CHARS) return [{ e: this.number, text }, []];
    const data = new TextEncoder().encode(text);
    const pieces = [];
    for (let at = 0; at < data.length; at += PIECE_BYTES) pieces.push(data.slice(at, at + PIECE_BYTES));
    return [{ e: this.number, n: pieces.length }, pieces];
  }
}

function faultText(fault) {
  return `Line ${count(fault.line)}, column ${count(fault.column)}: ${fault.text}`;
}

function cut(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** Whether a place in JSON text, finished or not, is inside the quotes of a string. */
function insideString(text, at) {
  let inside = false;
  for (let i = 0; i < at; i += 1) {
    const c = text.charCodeAt(i);
    if (c === 92 && inside) i += 1;
    else if (c === 34) inside = !inside;
  }
  return inside;
}

/** Valid JSON text, indented by two; its strings and numbers as they are written. */
function indented(text) {
  const pieces = [];
  let depth = 0;
  const line = () => pieces.push(`\n${"  ".repeat(depth)}`);
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "{" || token === "[") {
      pieces.push(token);
      depth += 1;
      line();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      line();
      pieces.push(token);
    } else if (token === ",") {
      pieces.push(token);
      line();
    } else if (token === ":") pieces.push(": ");
    else pieces.push(/^[{[]/.test(token) ? token.replace(/\s+/, "") : token);
  }
  return pieces.join("");
}
