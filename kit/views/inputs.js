// An input and what the handler reads: what is missing, what has the wrong type, which text to put
// where; and the long strings that stand in the text as a short name.

const BESIDE_INPUT = ["webhook", "policy", "s3Config"]; // kit/request.py
const LONG_STRING = 2_000;
const NAME_IN_TEXT = /‹(?:kept|file|text) \d+: [^‹›]{0,90}›/g;
const FILE_KEYS = /image|img|picture|photo|mask|audio|sound|voice|speech|video|film|file|data|doc|pdf|bytes|b64|base64/i;

/** The entries of the input itself, wherever it stands in a whole request. */
function inputOf(text, scan) {
  const named = new Map(scan.entries.map((entry) => [entry.key, entry]));
  const input = named.get("input");
  const rest = [...named.keys()].filter((key) => key !== "input");
  const whole = input && (named.has("id") || rest.every((key) => BESIDE_INPUT.includes(key)));
  if (!whole) return { kind: scan.kind, entries: scan.entries, from: 0, request: false };
  const inner = scanJson(text.slice(input.start, input.end));
  const moved = inner.entries.map((e) => ({ ...e, at: e.at + input.start, start: e.start + input.start, end: e.end + input.start }));
  return { kind: inner.kind, entries: moved, from: input.start, request: true };
}

/** What speaks against an input, by what the handler reads: sentences. Nothing of it forbids a run. */
function doubts(input, reads) {
  const { fields, by, closed } = reads;
  const checked = by !== "handler";
  const needed = fields.filter((field) => field.required);
  if (input.kind !== "object") {
    return needed.length ? [`The handler reads keys of the input; this is ${article(input.kind)}.`] : [];
  }
  const there = new Map(input.entries.map((entry) => [entry.key, entry]));
  const said = [];
  for (const field of fields) {
    const entry = there.get(field.name);
    if (!entry) {
      if (field.required) said.push(checked ? `${field.name} is missing; ${by} requires it.` : `${field.name} is missing; the handler reads it.`);
    } else if (field.accepts.length && !field.accepts.includes(entry.kind)) {
      said.push(`${field.name} is ${article(entry.kind)}; ${by} takes ${article(field.kind)}.`);
    }
  }
  if (closed) {
    const known = new Set(fields.map((field) => field.name));
    for (const key of there.keys()) if (!known.has(key)) said.push(`${key} is not in ${by}, which refuses other keys.`);
  }
  return said;
}

function article(kind) {
  if (kind === "null") return kind;
  return `${/^[aio]/.test(kind) ? "an" : "a"} ${kind}`;
}

/** The change that gives a key of the input a value: {start, end, insert}, or null if there is no object. */
function fieldEdit(text, input, key, literal) {
  const entry = input.entries.find((one) => one.key === key);
  if (entry) return { start: entry.start, end: entry.end, insert: literal };
  if (input.kind !== "object") return null;
  const name = JSON.stringify(key);
  const last = input.entries.reduce((end, one) => Math.max(end, one.end), -1);
  if (last >= 0) {
    const first = input.entries.reduce((at, one) => Math.min(at, one.at), Infinity);
    const indent = /\n([ \t]*)$/.exec(text.slice(0, first))?.[1];
    return { start: last, end: last, insert: indent === undefined ? `, ${name}: ${literal}` : `,\n${indent}${name}: ${literal}` };
  }
  const open = text.indexOf("{", input.from);
  const close = text.indexOf("}", open);
  return { start: open + 1, end: close, insert: `\n  ${name}: ${literal}\n` };
}

/** The key whose value is at the caret; null if there is none. */
function keyAt(input, caret) {
  return input.entries.find((entry) => caret >= entry.at && caret <= entry.end)?.key ?? null;
}

/** Where a file goes if nobody says: a field that is named like one, else the first empty string. */
function likelyKey(text, input, reads) {
  const names = [...new Set([...input.entries.map((e) => e.key), ...reads.fields.map((f) => f.name)])];
  const named = names.filter((name) => FILE_KEYS.test(name));
  const empty = (name) => {
    const entry = input.entries.find((one) => one.key === name);
    return !entry || text.slice(entry.start, entry.end) === '""';
  };
  return named.find(empty) ?? named[0] ?? input.entries.find((e) => text.slice(e.start, e.end) === '""')?.key ?? "file";
}

/** UTF-8 length without encoding. */
function bytesOf(text) {
  let n = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const c = text.charCodeAt(i);
    if (c < 0x80) continue;
    // a pair of surrogates is two units and four bytes
    n += c < 0x800 || (c >= 0xd800 && c <= 0xdfff) ? 1 : 2;
  }
  return n;
}

/** Long strings under short names: files, pasted text, and what the kernel kept for itself. */
class InputParts {
  constructor() {
    this.all = new Map(); // name -> {size in bytes, text: inside of a JSON string; null if the kernel has it}
    this.next = 1;
  }

  /** @param size bytes to name it by; of a file its own, not that of its base64 */
  add(kind, label, text, size = text.length) {
    const clean = label.replace(/[‹›\u0000-\u001f"\\]/g, "").slice(-60);
    const name = `‹${kind} ${this.next}: ${clean ? `${clean}, ` : ""}${bytes(size)}›`;
    this.next += 1;
    this.all.set(name, { size: bytesOf(text), text });
    return name;
  }

  /** Forget earlier ones and take what the kernel kept: {name: size}. */
  reset(kept) {
    this.all = new Map(Object.entries(kept).map(([name, size]) => [name, { size, text: null }]));
  }

  /** The text with everything in it that is here. */
  fill(text) {
    return text.replace(NAME_IN_TEXT, (name) => this.all.get(name)?.text ?? name);
  }

  /** Bytes of the text once everything is in it. */
  size(text) {
    let n = bytesOf(text);
    for (const [name] of text.matchAll(NAME_IN_TEXT)) {
      const part = this.all.get(name);
      if (part) n += part.size - bytesOf(name);
    }
    return n;
  }

  /** A text with its long strings under names. */
  fold(text) {
    const { strings } = scanJson(text, LONG_STRING);
    let done = 0;
    const pieces = [];
    for (const [start, end] of strings) {
      pieces.push(text.slice(done, start), this.add("text", "", text.slice(start, end)));
      done = end;
    }
    pieces.push(text.slice(done));
    return pieces.join("");
  }
}

const INPUT_INK = /("(?:[^"\\\n]|\\.)*"?)(\s*:)?|-?\b\d[\d.eE+-]*|\b(?:true|false|null)\b/g;

/** JSON text as coloured pieces: [[class, text], ...]; the fault is one of them, wherever it is. */
function inked(text, fault) {
  const pieces = [];
  const put = (start, end, kind) => {
    if (end > start) pieces.push([kind, text.slice(start, end)]);
  };
  const from = fault?.at ?? Infinity;
  const to = fault?.end ?? Infinity;
  /** A stretch of one colour, cut where the fault begins and ends. */
  const cutAndPut = (start, end, kind) => {
    const [a, b] = [Math.min(Math.max(from, start), end), Math.min(Math.max(to, start), end)];
    put(start, a, kind);
    put(a, b, `${kind} kit-ink-fault`.trim());
    put(b, end, kind);
  };
  let done = 0;
  for (const found of text.matchAll(INPUT_INK)) {
    const [all, string, colon] = found;
    const end = found.index + (string ?? all).length;
    const kind = !string ? "kit-ink-atom" : colon ? "kit-ink-key" : string.includes("‹") ? "kit-ink-part" : "kit-ink-string";
    cutAndPut(done, found.index, "");
    cutAndPut(found.index, end, kind);
    done = end;
  }
  cutAndPut(done, text.length, "");
  if (from >= text.length && fault) pieces.push(["kit-ink-fault", " "]);
  return pieces;
}
