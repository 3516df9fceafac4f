// Helpers of the other modules for the document.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; strings become text nodes, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
