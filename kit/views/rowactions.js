// What can be done with the row or cell that was picked by pointer or keyboard: copy its path or value.

class RowActions {
  constructor(tree) {
    this.tree = tree;
    this.entry = null;
    this.place = null;
    this.element = make("div", "kit-picked");
    this.element.hidden = true;
    this.told = make("span", "kit-code kit-picked-path");
    this.path = button("kit-text-button", "Copy path", () => this.copyPath());
    this.value = button("kit-text-button", "Copy value", () => this.copyValue());
    this.element.append(this.told, this.path, this.value);
    const root = tree.element;
    const first = root.querySelector(".kit-entry");
    if (first) first.tabIndex = 0;
    root.addEventListener("click", (event) => this.pick(event.target));
    // a press of the pointer moves the focus too: what it brings must not lie under it before it is a click
    root.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.pick(event.target));
    root.addEventListener("keydown", (event) => this.key(event));
  }

  /** The row or cell that a thing in the tree belongs to. */
  placeOf(target) {
    let one = target;
    while (one && one !== this.tree.element && !one.kitEntry) one = one.parentNode;
    return one?.kitEntry ? one : null;
  }

  pick(target) {
    const place = this.placeOf(target);
    if (!place || place === this.place) return;
    this.place?.classList.remove("kit-picked-row");
    this.place = place;
    place.classList.add("kit-picked-row");
    this.entry = place.kitEntry;
    say(this.told, visible(this.entry.path));
    this.told.title = this.entry.path;
    say(this.path, "Copy path");
    say(this.value, "Copy value");
    this.element.hidden = false;
  }

  async copyPath() {
    sayDone(this.path, (await copyText(this.entry.path)) ? "Copied" : "Not allowed", "Copy path");
  }

  async copyValue() {
    const { source } = this.tree;
    const { node, at } = this.entry;
    let text = wholeText(node);
    if (text === null) {
      text = "";
      let size = 0;
      const why = await fetchText(source.board, partOf(source, at), 0, Infinity, (some, _, n) => {
        size = n;
        text += some;
        return n <= COPY_CHARS;
      });
      if (why || size > COPY_CHARS) {
        sayDone(this.value, why || `${count(size)} characters: download it`, "Copy value");
        return;
      }
    }
    sayDone(this.value, (await copyText(text)) ? "Copied" : "Not allowed", "Copy value");
  }

  /** Arrows move and open, Enter opens, c and p copy. */
  key(event) {
    const place = this.placeOf(event.target);
    if (!place || event.target !== place || event.ctrlKey || event.metaKey || event.altKey) return;
    const open = place.getAttribute("aria-expanded");
    const rows = () => [...this.tree.element.querySelectorAll(".kit-entry[role=treeitem]")].filter((row) => row.offsetParent !== null);
    const go = (row) => {
      if (!row?.kitEntry) return;
      place.tabIndex = -1;
      row.tabIndex = 0;
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: "nearest" });
    };
    const does = {
      ArrowDown: () => go(rows()[rows().indexOf(place) + 1]),
      ArrowUp: () => go(rows()[rows().indexOf(place) - 1]),
      ArrowRight: () => (open === "false" ? place.kitOpen(true) : go(rows()[rows().indexOf(place) + 1])),
      ArrowLeft: () => (open === "true" ? place.kitOpen(false) : go(place.parentNode.closest(".kit-entry"))),
      Enter: () => place.kitOpen?.(open !== "true"),
      " ": () => place.kitOpen?.(open !== "true"),
      Home: () => go(rows()[0]),
      End: () => go(rows().at(-1)),
      c: () => this.copyValue(),
      p: () => this.copyPath(),
    }[event.key];
    if (event.key.length === 1) event.stopPropagation(); // letters are ours here: x beside c would cut the cell
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }
}

/** Where a part of a payload can be asked for. */
function partOf(source, at) {
  const { what, key } = source;
  return key ? { what, key, at } : { what, at };
}

/** The value of a node as text, if all of it is here; else null. A string is itself, the rest is JSON. */
function wholeText(node) {
  if (typeof node === "string") return node;
  const value = wholeValue(node);
  return value === undefined ? null : JSON.stringify(value);
}

function wholeValue(node) {
  if (node === null || typeof node !== "object") return node;
  if (!isContainer(node) || node.start || node.n !== node.v.length) return undefined;
  const values = node.v.map(wholeValue);
  if (values.includes(undefined)) return undefined;
  if (node.t === "array") return values;
  if (new Set(node.k).size !== node.n || !node.k.every((key) => typeof key === "string" && key !== "__proto__")) return undefined;
  return Object.fromEntries(node.k.map((key, k) => [key, values[k]]));
}
