// JSON text as it is being written: where its first fault is, what its top-level keys hold.
// As strict as the kernel is: no NaN, no half characters, no number that a float cannot hold.

const SCAN_DEPTH = 900; // kit/walk.py, MAX_DEPTH
const INTEGER_DIGITS = 4300; // more digits than Python reads
const CLOSERS = { 0x7b: "}", 0x5b: "]" };
const WORD_VALUES = { true: "boolean", false: "boolean", null: "null" };
const WORD_HINTS = {
  True: "Write true.", False: "Write false.", None: "Write null.", undefined: "Write null.", nil: "Write null.",
  NaN: "NaN is not JSON and would be lost on the way: use null or a string.",
  Infinity: "Infinity is not JSON and would be lost on the way: use null or a string.",
};
const JSON_ESCAPES = '"\\/bfnrt';
const HEX_DIGITS = /^[0-9a-fA-F]{4}$/;
const BARE_WORD = /[A-Za-z_$][\w$]*/y;

class JsonFault {
  constructor(at, text, length = 1) {
    this.at = at;
    this.end = at + Math.max(1, length);
    this.text = text;
  }
}

/**
 * Look through JSON text.
 *
 * @param long characters from which on a string is listed in `strings`
 * @returns {{fault: null|{at, end, text, line, column}, kind: string, entries: {key, kind, at, start, end}[],
 *   strings: number[][]}} entries are those of the top-level object, in order, a repeated key once;
 *   strings are ranges between the quotes. With a fault, what was found before it.
 */
function scanJson(text, long = Infinity) {
  const scan = new JsonScan(text, long);
  try {
    scan.run();
  } catch (fault) {
    if (!(fault instanceof JsonFault)) throw fault;
    scan.result.fault = { ...fault, ...lineAndColumn(text, fault.at) };
  }
  scan.result.entries = [...scan.named.values()];
  return scan.result;
}

function lineAndColumn(text, at) {
  let line = 1;
  let start = 0;
  for (let next = text.indexOf("\n"); next >= 0 && next < at; next = text.indexOf("\n", next + 1)) {
    line += 1;
    start = next + 1;
  }
  return { line, column: at - start + 1 };
}

class JsonScan {
  constructor(text, long) {
    this.text = text;
    this.long = long;
    this.at = 0;
    this.stack = []; // of open containers: {end, key, keyAt, start}
    this.named = new Map(); // entries of the top-level object
    this.result = { fault: null, kind: "", entries: [], strings: [] };
  }

  run() {
    const { text, stack } = this;
    this.space();
    if (this.at >= text.length) throw new JsonFault(this.at, "Nothing here yet: write the input as JSON.");
    let key = { text: null, at: -1 };
    for (;;) {
      const start = this.at;
      const end = CLOSERS[text.charCodeAt(start)];
      if (end) {
        if (stack.length >= SCAN_DEPTH) throw new JsonFault(start, `Nested deeper than ${SCAN_DEPTH} levels: flatten it.`);
        this.at += 1;
        this.space();
        if (text[this.at] !== end) {
          stack.push({ end, key, start });
          key = end === "}" ? this.key() : { text: null, at: -1 };
          continue;
        }
        this.at += 1;
        this.found(key, start, end === "}" ? "object" : "array");
      } else {
        this.found(key, start, this.scalar());
      }
      const more = this.after();
      if (more === null) return;
      key = more;
    }
  }

  /** Behind a value: the key of the next one; null at the end of the text. */
  after() {
    const { text, stack } = this;
    for (;;) {
      this.space();
      const top = stack[stack.length - 1];
      const c = text[this.at];
      if (!top) {
        if (c === undefined) return null;
        throw new JsonFault(this.at, "The input ends before this: one value, one object, no more.");
      }
      if (c === top.end) {
        this.at += 1;
        stack.pop();
        this.found(top.key, top.start, top.end === "}" ? "object" : "array");
      } else if (c === ",") {
        const comma = this.at;
        this.at += 1;
        this.space();
        if (text[this.at] === top.end) throw new JsonFault(comma, `No comma before ${top.end}.`);
        return top.end === "}" ? this.key() : { text: null, at: -1 };
      } else if (c === undefined) {
        throw new JsonFault(this.at, `The text ends here: ${top.end} is missing.`);
      } else {
        throw new JsonFault(this.at, `A comma or ${top.end} is missing here.`);
      }
    }
  }

  /** Note a value that ends here. */
  found(key, start, kind) {
    const { stack } = this;
    if (!stack.length) this.result.kind = kind;
    if (stack.length !== 1 || stack[0].end !== "}") return;
    this.named.delete(key.text); // of a repeated key the last one counts
    this.named.set(key.text, { key: key.text, kind, at: key.at, start, end: this.at });
  }

  key() {
    const { text } = this;
    const at = this.at;
    if (text[at] !== '"') throw new JsonFault(at, this.keyHint(at), this.word(at).length);
    this.string();
    // only those of the top level are ever asked for
    const key = { text: this.stack.length === 1 ? JSON.parse(text.slice(at, this.at)) : null, at };
    this.space();
    if (text[this.at] !== ":") throw new JsonFault(this.at, "A colon is missing between key and value.");
    this.at += 1;
    this.space();
    return key;
  }

  keyHint(at) {
    const c = this.text[at];
    if (c === undefined) return "The text ends here: } is missing.";
    if (c === "'") return "Keys take double quotes.";
    if (c === ",") return "A key is missing before this comma.";
    if (c === "/" || c === "#") return "JSON has no comments.";
    const word = this.word(at);
    return word ? `Keys take double quotes: "${word}".` : "A key in double quotes is missing here.";
  }

  word(at) {
    BARE_WORD.lastIndex = at;
    return BARE_WORD.exec(this.text)?.[0].slice(0, 40) ?? "";
  }

  scalar() {
    const c = this.text[this.at];
    if (c === '"') {
      this.string();
      return "string";
    }
    if (c === "-" || (c >= "0" && c <= "9")) return this.number();
    const word = this.word(this.at);
    if (Object.hasOwn(WORD_VALUES, word)) {
      this.at += word.length;
      return WORD_VALUES[word];
    }
    throw new JsonFault(this.at, this.valueHint(c, word), word.length);
  }

  valueHint(c, word) {
    if (Object.hasOwn(WORD_HINTS, word)) return WORD_HINTS[word];
    if (word) return `Strings take double quotes: "${word}".`;
    if (c === undefined) return "The text ends where a value should be.";
    if (c === "'") return "Strings take double quotes.";
    if (c === "/" || c === "#") return "JSON has no comments.";
    if (c === "+" || c === ".") return "A number begins with a digit or a minus.";
    return "A value is missing here.";
  }

  number() {
    const { text } = this;
    const start = this.at;
    let i = text[start] === "-" ? start + 1 : start;
    const digits = () => {
      const from = i;
      for (let c = text.charCodeAt(i); c >= 48 && c <= 57; c = text.charCodeAt(i)) i += 1;
      return i - from;
    };
    const first = text[i];
    const whole = digits();
    if (!whole) {
      const word = this.word(i);
      throw new JsonFault(start, WORD_HINTS[word] ?? "A digit is missing behind the minus.", 1 + word.length);
    }
    if (first === "0" && whole > 1) throw new JsonFault(start, "A number does not begin with 0.");
    let kind = "integer";
    if (text[i] === ".") {
      i += 1;
      kind = "number";
      if (!digits()) throw new JsonFault(i, "A digit is missing behind the point.");
    }
    if (text[i] === "e" || text[i] === "E") {
      i += text[i + 1] === "+" || text[i + 1] === "-" ? 2 : 1;
      kind = "number";
      if (!digits()) throw new JsonFault(i, "A digit is missing in the exponent.");
    }
    if (kind === "integer" && whole > INTEGER_DIGITS) {
      throw new JsonFault(start, `An integer of ${count(whole)} digits is more than Python reads: send it as a string.`);
    }
    if (kind === "number" && !Number.isFinite(Number(text.slice(start, i)))) {
      throw new JsonFault(start, "This number is larger than a float holds: it would become Infinity and be lost.");
    }
    this.at = i;
    return kind;
  }

  /** From its opening quote to behind its closing one. */
  string() {
    const { text } = this;
    const open = this.at;
    let i = open + 1;
    for (;;) {
      const c = text.charCodeAt(i);
      if (c === 34) break;
      if (c === 92) i = this.escape(i);
      else if (c >= 0xd800 && c <= 0xdfff) i = this.pair(i, c);
      else if (c < 32) throw new JsonFault(i, c === 10 ? "This string goes over the end of its line: close it, or write \\n." : "Control characters are written as \\t, \\n or \\u0000.");
      else if (c !== c) throw new JsonFault(open, "This string is not closed."); // NaN: the end of the text
      else i += 1;
    }
    if (i - open > this.long) this.result.strings.push([open + 1, i]);
    this.at = i + 1;
  }

  pair(i, c) {
    const next = this.text.charCodeAt(i + 1);
    if (c < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) return i + 2;
    throw new JsonFault(i, "Half of a character: it cannot be sent.");
  }

  escape(i) {
    const { text } = this;
    const c = text[i + 1];
    if (c !== undefined && JSON_ESCAPES.includes(c)) return i + 2;
    if (c !== "u" || !HEX_DIGITS.test(text.slice(i + 2, i + 6))) throw new JsonFault(i, "Behind a backslash stands one of \" \\ / b f n r t, or u and four digits.");
    const code = parseInt(text.slice(i + 2, i + 6), 16);
    if (code < 0xd800 || code > 0xdfff) return i + 6;
    const low = text.slice(i + 6, i + 8) === "\\u" && HEX_DIGITS.test(text.slice(i + 8, i + 12)) ? parseInt(text.slice(i + 8, i + 12), 16) : 0;
    if (code < 0xdc00 && low >= 0xdc00 && low <= 0xdfff) return i + 12;
    throw new JsonFault(i, "Half of a character: it cannot be sent.");
  }

  space() {
    const { text } = this;
    for (let c = text.charCodeAt(this.at); c === 32 || c === 10 || c === 13 || c === 9; c = text.charCodeAt(this.at)) this.at += 1;
  }
}
