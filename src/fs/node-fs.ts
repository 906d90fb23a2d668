// Node's own fs/promises, as it was when the library was loaded.
// Flow: promises-*, file-handle, cp, rm, walk … → this → node:fs/promises.
// A program may put ours in its place (`Object.assign(require('fs').promises, fs)`): what we ask Node for must then not be ours.

import promises from 'node:fs/promises'

export const node = { ...promises }
