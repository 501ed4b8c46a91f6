// The input editor: JSON as text, told as it is typed what is wrong with it; Run by keyboard.
// It speaks with the kernel by messages alone, so nothing typed here is saved with the notebook.

const EDIT_CHARS = 200_000; // more than this is not put into the text field
const INK_CHARS = 12_000; // more than this is not coloured
const PASTE_CHARS = 20_000; // a pasted text from which on long strings are folded
const CHECK_MS = 60;
const FROM = { last: "as it ran last", reads: "from what the handler reads", job: "of the chosen job" };

class Editor {
  constructor(board, state) {
    this.board = board;
    this.state = state;
    this.element = make("section", "kit-editor");
    this.element.setAttribute("aria-label", "Input of the next job");
    // JupyterLab's commands keep quiet while one types here; other front ends listen further out
    this.element.setAttribute("data-lm-suppress-shortcuts", "true");
    this.element.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["keyup", "keypress", "copy", "cut", "paste", "contextmenu"]) {
      this.element.addEventListener(kind, (event) => event.stopPropagation());
    }
    this.files = new FileDrop(this);
    this.element.append(this.makeHead(), this.makeMain(), this.makeFoot());
    this.scan = scanJson("");
    this.draw();
  }

  makeHead() {
    const head = make("div", "kit-editor-head");
    this.from = make("span", "kit-soft");
    this.tidy = button("kit-tool", "Format", () => this.format());
    this.tidy.title = "Indent the JSON";
    const again = button("kit-tool", "Start over", () => {
      this.state.dirty = false;
      this.state.ask();
    });
    again.title = "Fill in the last input again, or what the handler reads";
    const shut = button("kit-tool", "Close", () => this.leave(true));
    const tools = make("div", "kit-editor-tools");
    tools.append(this.tidy, again, shut);
    head.append(make("b", "kit-editor-title", "Input"), this.from, tools);
    return head;
  }

  makeMain() {
    this.area = make("textarea", "kit-json");
    for (const [name, value] of [["aria-label", "Input as JSON"], ["spellcheck", "false"], ["autocapitalize", "off"], ["autocomplete", "off"], ["rows", "1"]]) this.area.setAttribute(name, value);
    this.area.addEventListener("input", () => this.typed());
    this.area.addEventListener("paste", (event) => this.paste(event));
    this.area.addEventListener("select", () => this.files.draw());
    for (const kind of ["keyup", "click", "focus"]) this.area.addEventListener(kind, () => this.files.draw());
    this.ink = make("div", "kit-ink");
    this.ink.setAttribute("aria-hidden", "true");
    this.sheet = make("div", "kit-sheet");
    this.sheet.append(this.ink, this.area);
    this.big = make("div", "kit-whole");
    this.fields = make("div", "kit-fields");
    const main = make("div", "kit-editor-main");
    main.append(this.sheet, this.big, this.fields);
    return main;
  }

  makeFoot() {
    this.status = make("div", "kit-status");
    this.status.setAttribute("role", "status");
    this.size = make("div", "kit-editor-size");
    const foot = make("div", "kit-editor-foot");
    foot.append(this.status, this.files.element, this.size);
    return foot;
  }

  // -- keys -------------------------------------------------------------------------------------

  key(event) {
    event.stopPropagation();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!event.repeat) this.run();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.leave(false);
    } else if (event.key === "Enter" && event.target === this.area && !event.isComposing && !event.shiftKey && !event.altKey) {
      this.newLine(event);
    }
  }

  /** A new line begins where the last one did, further in behind an opening bracket. */
  newLine(event) {
    const { value, selectionStart: at } = this.area;
    const line = value.slice(value.lastIndexOf("\n", at - 1) + 1, at);
    const indent = /^[ \t]*/.exec(line)[0];
    const opens = /[[{]\s*$/.test(line);
    if (!indent && !opens) return;
    event.preventDefault();
    this.put(`\n${indent}${opens ? "  " : ""}`);
  }

  leave(shut) {
    if (shut) {
      this.state.open = false;
      this.board.changed("editor");
    }
    this.onLeave?.();
  }

  focus() {
    this.area.focus();
  }

  // -- text -------------------------------------------------------------------------------------

  /** Replace a range (the selection, if none is given) so that undo knows of it. */
  put(text, start = this.area.selectionStart, end = this.area.selectionEnd) {
    const { area } = this;
    area.focus();
    area.setSelectionRange(start, end);
    // the only way that keeps the field's own undo
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, start, end, "end");
      this.typed();
    }
  }

  typed() {
    const { state } = this;
    state.dirty = true;
    if (this.area.value.length > EDIT_CHARS) {
      this.take(this.area.value);
      return;
    }
    state.text = this.area.value;
    this.look();
  }

  /** A whole input from anywhere: long strings under names, or beside the field if it is too long. */
  take(text) {
    const { state } = this;
    const folded = state.parts.fold(text);
    state.dirty = true;
    if (folded.length <= EDIT_CHARS) {
      state.text = folded;
      state.whole = null;
    } else {
      state.whole = { bytes: bytesOf(text), text };
      state.text = "";
    }
    this.draw();
  }

  paste(event) {
    event.stopPropagation();
    const given = event.clipboardData?.getData("text/plain") ?? "";
    if (given.length < PASTE_CHARS) return;
    event.preventDefault();
    const { value, selectionStart: start, selectionEnd: end } = this.area;
    const rest = value.slice(0, start) + value.slice(end);
    if (!rest.trim()) {
      this.take(given);
      return;
    }
    // inside quotes it is the inside of a string; elsewhere JSON, or a string of its own
    const quoted = insideString(value, start);
    const fold = (text) => this.state.parts.add("text", "", JSON.stringify(text).slice(1, -1));
    if (quoted) this.put(fold(given));
    else if (scanJson(given).fault) this.put(`"${fold(given)}"`);
    else this.take(value.slice(0, start) + given + value.slice(end));
  }

  format() {
    const { state } = this;
    if (state.whole || this.scan.fault) return;
    // by its tokens, not by JSON.parse: numbers stay as they are written
    const pretty = indented(this.area.value);
    if (pretty !== this.area.value) this.put(pretty, 0, this.area.value.length);
  }

  // -- run --------------------------------------------------------------------------------------

  /** Run what is here; false if there is nothing to run. */
  run() {
    const { board, state } = this;
    if (board.busy("run")) return;
    if (!state.whole && this.scan.fault) {
      this.look();
      const { fault } = this.scan;
      this.area.focus();
      this.area.setSelectionRange(fault.at, Math.min(fault.at + 1, this.area.value.length));
      this.say(faultText(fault), "bad");
      return;
    }
    const [content, pieces] = state.message();
    board.click("run", content, pieces);
  }

  // -- drawing ----------------------------------------------------------------------------------

  draw() {
    const { state } = this;
    this.element.hidden = !state.open;
    if (!state.open) return;
    if (this.area.value !== state.text) this.area.value = state.text;
    this.sheet.hidden = Boolean(state.whole);
    this.big.hidden = !state.whole;
    if (state.whole) {
      const back = button("kit-tool kit-boxed", "Write another", () => {
        state.whole = null;
        this.take("{}");
      });
      this.big.replaceChildren(make("span", "", `An input of ${bytes(state.whole.bytes)}: too long to edit here. Run sends it as it is.`), back);
    }
    say(this.from, state.dirty ? "edited" : FROM[state.source] ?? "");
    this.look(true);
  }

  /** Look through the text: at once if it is short, else when typing pauses. */
  look(now = false) {
    clearTimeout(this.timer);
    const text = this.state.whole?.text ?? this.state.text;
    if (!now && text.length > INK_CHARS) {
      this.timer = setTimeout(() => this.look(true), CHECK_MS + text.length / 1000);
      return;
    }
    this.scan = scanJson(text);
    this.input = inputOf(text, this.scan);
    const { state } = this;
    const { fault } = this.scan;
    say(this.from, state.dirty ? "edited" : FROM[state.source] ?? "");
    this.drawInk(state.text, fault);
    this.area.setAttribute("aria-invalid", String(Boolean(fault) && !state.whole));
    const kept = state.whole && state.whole.text === null;
    const said = fault || kept ? [] : doubts(this.input, state.reads);
    if (fault && !kept) this.say(faultText(fault), "bad");
    else if (said.length) this.say(said.slice(0, 3).join(" ") + (said.length > 3 ? ` And ${count(said.length - 3)} more.` : ""), "doubt");
    else this.say(state.note || "Valid. Ctrl or ⌘ with Enter runs it, Escape leaves.", "");
    this.tidy.disabled = Boolean(fault || state.whole);
    this.drawSize(state.whole ? state.whole.bytes : state.parts.size(state.text));
    this.files.draw();
    this.drawFields(fault ? null : this.input);
  }

  say(text, tone) {
    say(this.status, text);
    this.status.dataset.tone = tone;
  }

  drawInk(text, fault) {
    const plain = text.length > INK_CHARS;
    this.sheet.classList.toggle("kit-plain", plain);
    if (plain) {
      this.ink.replaceChildren();
      return;
    }
    // a last line without text has no height of its own
    this.ink.replaceChildren(...inked(text, fault).map(([kind, piece]) => (kind ? make("span", kind, piece) : document.createTextNode(piece))), document.createTextNode("\n\u200b"));
  }

  drawSize(n) {
    const [run, sync] = this.state.limits;
    this.size.replaceChildren(sizeBar(n, [[run, "/run"], [sync, "/runsync"]]));
  }

  /** What the handler reads; a click puts the field into the text, or the caret to it. */
  drawFields(input) {
    const { fields, by } = this.state.reads;
    this.fields.hidden = !fields.length;
    if (!fields.length || (!input && this.drawnFields === fields)) return;
    this.drawnFields = fields;
    const there = new Map((input?.entries ?? []).map((entry) => [entry.key, entry]));
    const rows = fields.map((field) => {
      const row = button("kit-field", "", () => this.goTo(field));
      const entry = there.get(field.name);
      const wrong = entry && field.accepts.length && !field.accepts.includes(entry.kind);
      row.dataset.tone = wrong || (!entry && field.required && input) ? "doubt" : entry ? "there" : "";
      const first = make("span", "kit-field-name", field.name);
      const about = [field.kind || "any value", field.required ? "required" : field.default !== null ? `default ${cut(field.default, 24)}` : "optional"];
      row.append(first, make("span", "kit-field-about", about.join(", ")));
      row.title = [field.about, entry ? "Go to it" : "Add it"].filter(Boolean).join("\n");
      return row;
    });
    this.fields.replaceChildren(make("div", "kit-fields-title kit-soft", by === "handler" ? "The handler reads" : `Checked by ${by}`), ...rows);
  }

  goTo(field) {
    if (this.state.whole || this.scan.fault) {
      this.focus();
      return;
    }
    if (!this.input.entries.some((one) => one.key === field.name)) {
      const literal = field.default ?? FIRST_VALUES[field.kind.split(" or ")[0]] ?? '""';
      const edit = fieldEdit(this.area.value, this.input, field.name, literal);
      if (edit) this.put(edit.insert, edit.start, edit.end);
      this.look(true);
    }
    const entry = this.input.entries.find((one) => one.key === field.name);
    if (!entry) return;
    const inner = entry.kind === "string" ? 1 : 0;
    this.area.focus();
    this.area.setSelectionRange(entry.start + inner, entry.end - inner);
    this.files.draw();
  }
}
