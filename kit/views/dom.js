// The only two ways this card makes elements: text goes in as text, never as markup.

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function button(className, text, action) {
  const element = make("button", className, text);
  element.type = "button";
  element.addEventListener("click", action);
  return element;
}

/** Set text only if it differs: keeps selections and screen readers undisturbed. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Where the front end's shortcuts are silenced because one types there: saving is still its own. */
function passSave(event) {
  const asked = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "s";
  if (!asked || !event.target.closest("[data-lm-suppress-shortcuts]")) return;
  event.preventDefault(); // the browser would save the page
  event.stopPropagation();
  const { key, code, keyCode, ctrlKey, metaKey } = event;
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, code, keyCode, ctrlKey, metaKey, bubbles: true, cancelable: true }));
}
