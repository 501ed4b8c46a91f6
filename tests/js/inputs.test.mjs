// The input editor's own questions about text, on the module that the widget gets (KIT_VIEWS).
// KIT_TEXTS: texts with what the kernel says of each: null if it takes it, else [line, column] or [].
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

globalThis.document = { createElement: () => ({}) };
const kit = await import(process.env.KIT_VIEWS);
const texts = JSON.parse(readFileSync(process.env.KIT_TEXTS, "utf-8"));

test("the page takes what the kernel takes, and refuses what it refuses", () => {
  assert.ok(texts.length > 500);
  const verdicts = { taken: 0, refused: 0 };
  for (const [text, refused] of texts) {
    const { fault } = kit.scanJson(text);
    assert.equal(fault === null, refused === null, `${JSON.stringify(text.slice(0, 200))}: ${fault?.text ?? "taken"}`);
    verdicts[refused === null ? "taken" : "refused"] += 1;
  }
  assert.ok(verdicts.taken > 100 && verdicts.refused > 100, JSON.stringify(verdicts));
});

test("a fault has its place and says what to write", () => {
  const say = (text) => {
    const { fault } = kit.scanJson(text);
    return [fault.line, fault.column, fault.text];
  };
  assert.deepEqual(say('{"a": NaN}').slice(0, 2), [1, 7]);
  assert.match(say('{"a": NaN}')[2], /NaN is not JSON/);
  assert.deepEqual(say('{\n  "a": 1,\n  b: 2\n}').slice(0, 2), [3, 3]);
  assert.match(say('{\n  "a": 1,\n  b: 2\n}')[2], /double quotes: "b"/);
  assert.match(say("{'a': 1}")[2], /double quotes/);
  assert.match(say('{"a": True}')[2], /Write true/);
  assert.match(say('{"a": None}')[2], /Write null/);
  assert.match(say('{"a": 1,}')[2], /No comma before }/);
  assert.match(say('{"a": 1')[2], /} is missing/);
  assert.match(say('{"a": [1, 2}')[2], /comma or \]/);
  assert.match(say('{"a" 1}')[2], /colon/);
  assert.match(say('{"a": "x')[2], /not closed/);
  assert.match(say('{"a": "x\ny"}')[2], /end of its line/);
  assert.match(say('{"a": 1} 2')[2], /one object/);
  assert.match(say("// x")[2], /no comments/);
  assert.match(say('{"a": -Infinity}')[2], /Infinity is not JSON/);
  assert.match(say(" ")[2], /Nothing here yet/);
  const fault = kit.scanJson('{"a": NaN}').fault;
  assert.equal(fault.end - fault.at, 3);
});

test("entries of the top level, a repeated key once, nested ones not", () => {
  const text = '{"a": 1, "b": {"c": 2.5}, "a": [true], "d": "x"}';
  const { entries, kind } = kit.scanJson(text);
  assert.equal(kind, "object");
  assert.deepEqual(entries.map((e) => [e.key, e.kind, text.slice(e.start, e.end)]), [["b", "object", '{"c": 2.5}'], ["a", "array", "[true]"], ["d", "string", '"x"']]);
});

const READS = {
  by: "SCHEMA", closed: true,
  fields: [
    { name: "prompt", required: true, kind: "string", accepts: ["string"], default: null, about: "" },
    { name: "steps", required: false, kind: "integer", accepts: ["integer", "boolean"], default: "20", about: "" },
  ],
};
const doubts = (text, reads = READS) => kit.doubts(kit.inputOf(text, kit.scanJson(text)), reads);

test("missing keys, wrong types and keys too many are said", () => {
  assert.deepEqual(doubts('{"prompt": "a", "steps": 3}'), []);
  assert.deepEqual(doubts('{"steps": 3}'), ["prompt is missing; SCHEMA requires it."]);
  assert.deepEqual(doubts('{"prompt": "a", "steps": "3"}'), ["steps is a string; SCHEMA takes an integer."]);
  assert.deepEqual(doubts('{"prompt": "a", "steps": 1.0, "x": 1}'), ["steps is a number; SCHEMA takes an integer.", "x is not in SCHEMA, which refuses other keys."]);
  assert.deepEqual(doubts("[1]"), ["The handler reads keys of the input; this is an array."]);
  assert.deepEqual(doubts("{}", { by: "handler", closed: false, fields: [READS.fields[0]] }), ["prompt is missing; the handler reads it."]);
});

test("a whole request is looked at inside its input", () => {
  const text = '{"input": {"steps": "x"}, "webhook": "https://a"}';
  assert.deepEqual(doubts(text), ["prompt is missing; SCHEMA requires it.", "steps is a string; SCHEMA takes an integer."]);
  const input = kit.inputOf(text, kit.scanJson(text));
  const edit = kit.fieldEdit(text, input, "steps", "3");
  assert.equal(text.slice(0, edit.start) + edit.insert + text.slice(edit.end), '{"input": {"steps": 3}, "webhook": "https://a"}');
  assert.equal(kit.inputOf('{"input": 1, "more": 2}', kit.scanJson('{"input": 1, "more": 2}')).request, false);
});

test("a field is changed or added where it belongs", () => {
  const edited = (text, key, literal) => {
    const edit = kit.fieldEdit(text, kit.inputOf(text, kit.scanJson(text)), key, literal);
    return edit && text.slice(0, edit.start) + edit.insert + text.slice(edit.end);
  };
  assert.equal(edited('{"a": 1}', "a", "2"), '{"a": 2}');
  assert.equal(edited('{"a": 1}', "b", "2"), '{"a": 1, "b": 2}');
  assert.equal(edited('{\n    "a": 1\n}', "b", "2"), '{\n    "a": 1,\n    "b": 2\n}');
  assert.equal(edited("{ }", "b", "2"), '{\n  "b": 2\n}');
  assert.equal(edited('{"input": {}, "id": "x"}', "b", "2"), '{"input": {\n  "b": 2\n}, "id": "x"}');
  assert.equal(edited("[]", "b", "2"), null);
  assert.equal(edited('{"a\\"": 1}', 'a"', "2"), '{"a\\"": 2}');
});

test("the field at the caret, and the likeliest one for a file", () => {
  const text = '{"prompt": "", "init_image": ""}';
  const input = kit.inputOf(text, kit.scanJson(text));
  assert.equal(kit.keyAt(input, 5), "prompt");
  assert.equal(kit.keyAt(input, text.length - 2), "init_image");
  assert.equal(kit.keyAt(input, 0), null);
  assert.equal(kit.likelyKey(text, input, { fields: [] }), "init_image");
  const plain = '{"text": ""}';
  assert.equal(kit.likelyKey(plain, kit.inputOf(plain, kit.scanJson(plain)), { fields: [] }), "text");
  assert.equal(kit.likelyKey("{}", kit.inputOf("{}", kit.scanJson("{}")), { fields: [] }), "file");
});

test("long strings go under a name and come back to the letter", () => {
  const parts = new kit.InputParts();
  const long = "x".repeat(50_000) + "\\n\\u00e9é";
  const text = `{"a": "${long}", "b": "short", "${long}": 1}`;
  const folded = parts.fold(text);
  assert.ok(folded.length < 200, folded);
  assert.equal(parts.fill(folded), text);
  assert.equal(parts.size(folded), kit.bytesOf(text));
  assert.equal(kit.scanJson(folded).fault, null);
  const hostile = parts.add("file", 'a"b\\\n‹c›.png', "AAAA");
  assert.equal(JSON.parse(`"${hostile}"`), hostile);
  assert.equal(parts.fill(`["${hostile}"]`), '["AAAA"]');
  const file = parts.add("file", "a.txt", "aGVsbG8gd29ybGQ=", 11);
  assert.match(file, /a\.txt, 11 B›$/);
  assert.equal(parts.size(`["${file}"]`), 20); // what is sent is its base64
  assert.equal(parts.fill("‹file 999: other›"), "‹file 999: other›");
});

test("bytes are counted as UTF-8", () => {
  for (const text of ["", "abc", "é", "€", "😀", "a😀é€z"]) assert.equal(kit.bytesOf(text), new TextEncoder().encode(text).length, text);
});

test("colours cover the text and nothing but the text", () => {
  for (const text of ['{"a": [1, -2.5e3, true], "b": "x‹file 1: a›"}', '{"a": NaN}', "", '{"a', '{"a": "x\ny"}', "{,}"]) {
    const { fault } = kit.scanJson(text);
    const pieces = kit.inked(text, fault);
    const joined = pieces.map(([, piece]) => piece).join("");
    assert.equal(joined.trimEnd(), text.trimEnd());
    if (fault) assert.ok(pieces.some(([kind]) => kind.includes("kit-ink-fault")), text);
  }
});

test("formatting changes white space alone", () => {
  const text = '{"a":[1,2.50,{"b":[]}],"c":"x, y: {z}","d":{ },"e":12345678901234567890}';
  const pretty = kit.indented(text);
  assert.deepEqual(JSON.parse(pretty), JSON.parse(text));
  assert.ok(pretty.includes("2.50") && pretty.includes("12345678901234567890") && pretty.includes("[]") && pretty.includes("{}"));
  assert.equal(kit.indented(pretty), pretty);
  assert.equal(pretty.split("\n")[1], '  "a": [');
});

test("quotes tell inside from outside", () => {
  assert.equal(kit.insideString('{"a": "', 7), true);
  assert.equal(kit.insideString('{"a": "x\\"', 10), true);
  assert.equal(kit.insideString('{"a": "x"', 9), false);
});

test("a long input travels in pieces that are whole together", () => {
  const sent = [];
  const board = new kit.Board((content, buffers) => sent.push([content, buffers]));
  const state = new kit.InputState(board);
  state.text = `{"a": "${state.parts.add("file", "a.bin", "é".repeat(1_500_000))}"}`;
  const [content, pieces] = state.message();
  board.click("run", content, pieces);
  const data = sent.filter(([c]) => c.t === "piece").flatMap(([, buffers]) => buffers.map((b) => new Uint8Array(b)));
  assert.equal(sent.at(-1)[0].t, "run");
  assert.equal(sent.at(-1)[0].n, data.length);
  assert.ok(data.every((piece) => piece.length <= 1_000_000));
  assert.equal(Buffer.concat(data).toString("utf-8"), `{"a": "${"é".repeat(1_500_000)}"}`);
  for (const click of board.clicks.values()) clearTimeout(click.timer);
});

test("10 MB are looked through without a pause that one feels", () => {
  const text = `{"a": "${"x".repeat(5_000_000)}", "b": [${"123.5, ".repeat(700_000)}1]}`;
  const began = performance.now();
  assert.equal(kit.scanJson(text, 2000).fault, null);
  assert.ok(performance.now() - began < 5000); // 60 ms on a quiet machine
});

test("a diff is counted, Python is coloured line by line", () => {
  assert.equal(kit.changesText("--- a\n+++ a\n@@ -1 +1 @@\n-x\n+y\n+z\n"), "+2 −1");
  assert.deepEqual(kit.wordsOf("a `b").length, 1);
});
