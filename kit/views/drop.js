// Files for the input editor: dropped or picked, as base64 or as a data: URI, into one field.

const MIME = /^[\w.+-]+\/[\w.+-]+$/;

class FileDrop {
  constructor(editor) {
    this.editor = editor;
    this.pick = make("input", "kit-unseen");
    this.pick.type = "file";
    this.pick.tabIndex = -1;
    this.pick.setAttribute("aria-label", "File to put into the input");
    this.pick.addEventListener("change", () => {
      this.read(this.pick.files[0]);
      this.pick.value = "";
    });
    const add = button("kit-tool kit-boxed", "Add a file", () => this.pick.click());
    add.title = "Or drop one onto the text";
    this.into = this.select("Field that the file goes into", []);
    this.into.addEventListener("change", () => (this.chosen = this.into.value));
    this.as = this.select("How the file is written", [["base64", "base64"], ["uri", "data: URI"]]);
    this.as.addEventListener("change", () => (this.asChosen = true));
    this.element = make("div", "kit-files");
    this.element.append(add, this.pick, make("span", "kit-soft", "into"), this.into, make("span", "kit-soft", "as"), this.as);
    this.listen(editor.element);
  }

  select(label, options) {
    const one = make("select", "kit-select");
    one.setAttribute("aria-label", label);
    one.append(...options.map(([value, text]) => this.option(value, text)));
    return one;
  }

  option(value, text) {
    const one = make("option", "", text);
    one.value = value;
    return one;
  }

  listen(element) {
    const has = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (on) => element.classList.toggle("kit-dropping", on);
    element.addEventListener("dragover", (event) => {
      event.stopPropagation();
      if (!has(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      over(true);
    });
    for (const kind of ["dragenter", "dragleave", "dragend"]) {
      element.addEventListener(kind, (event) => {
        event.stopPropagation();
        if (kind !== "dragenter") over(false);
      });
    }
    element.addEventListener("drop", (event) => {
      event.stopPropagation();
      over(false);
      if (!has(event)) return;
      event.preventDefault();
      this.read(event.dataTransfer.files[0], [...event.dataTransfer.files].slice(1));
    });
  }

  /** @param rest files dropped with it: a field takes one */
  read(file, rest = []) {
    if (!file) return;
    const [, most] = this.editor.state.limits;
    const size = Math.ceil(file.size / 3) * 4;
    if (size > most) {
      this.editor.say(`${file.name} is ${bytes(size)} as base64, and RunPod takes ${bytes(most)} by /runsync at most: upload it, and send its URL.`, "bad");
      return;
    }
    const reader = new FileReader();
    this.editor.say(`Reading ${file.name}`, "");
    reader.addEventListener("load", () => {
      this.put(file, reader.result);
      if (rest.length) this.editor.say(`A field takes one file: ${cut(file.name, 60)} is in, ${leftOut(rest)}. Choose another field and drop again.`, "doubt");
    });
    reader.addEventListener("error", () => this.editor.say(`${file.name} could not be read: ${reader.error?.message ?? "no reason given"}`, "bad"));
    reader.readAsDataURL(file);
  }

  /** Into the text goes a short name; the data stays beside it until Run. */
  put(file, url) {
    const { editor } = this;
    const { area, input, scan, state } = editor;
    const data = url.slice(url.indexOf(",") + 1);
    const kind = MIME.test(file.type) ? file.type : "application/octet-stream";
    const key = this.into.value || "file";
    const before = input.entries.find((one) => one.key === key);
    const uri = this.asChosen ? this.as.value === "uri" : Boolean(before) && area.value.slice(before.start + 1, before.start + 6) === "data:";
    const name = state.parts.add("file", file.name, data, file.size);
    const literal = uri ? `"data:${kind};base64,${name}"` : `"${name}"`;
    const edit = scan.fault ? null : fieldEdit(area.value, input, key, literal);
    if (edit) editor.put(edit.insert, edit.start, edit.end);
    else editor.put(literal);
    editor.look(true);
  }

  /** The field a file would go into: the one at the caret, the one chosen, the likeliest. */
  draw() {
    const { area, input, state } = this.editor;
    if (!input) return;
    const under = document.activeElement === area ? keyAt(input, area.selectionStart) : null;
    const names = [...new Set([...input.entries.map((entry) => entry.key), ...state.reads.fields.map((field) => field.name)])].slice(0, 200);
    const key = under ?? (names.includes(this.chosen) ? this.chosen : likelyKey(state.text, input, state.reads));
    if (!names.includes(key)) names.push(key);
    if (names.join("\n") !== this.drawn) {
      this.drawn = names.join("\n");
      this.into.replaceChildren(...names.map((name) => this.option(name, cut(name, 24) || '""')));
    }
    this.into.value = key;
    if (under !== null) this.chosen = under;
  }
}

/** "b.png was left out", "b.png and 2 more were left out". */
function leftOut(files) {
  const name = cut(files[0].name, 60);
  return files.length > 1 ? `${name} and ${count(files.length - 1)} more were left out` : `${name} was left out`;
}
