// A directory as a page.
// Flow: serve-files.ts → this → serve-path.ts, node:fs (reading a directory has no opcode).

import { readdir } from 'node:fs/promises'
import { escapeHtml } from '../net/http/answer.ts'
import { encodePath } from './serve-path.ts'

/** A page of more names would serve nobody. */
const NAMES_MAX = 10_000

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color-scheme:light dark}' +
  'ul{list-style:none;padding:0}'

/** @param fd of the directory; @param path latin1, for the title */
export async function listing(fd: number, path: string, withHidden: boolean): Promise<Buffer> {
  const entries = await readdir(`/proc/self/fd/${fd}`, { withFileTypes: true, encoding: 'buffer' })
  const shown = entries
    .filter(({ name }) => withHidden || name[0] !== 46)
    .map((entry) => ({ bytes: entry.name, text: entry.name.toString(), isDirectory: entry.isDirectory() }))
    .sort((a, b) => Number(b.isDirectory) - Number(a.isDirectory) || (a.text < b.text ? -1 : 1))
  const lines = shown.slice(0, NAMES_MAX).map(({ bytes, text, isDirectory }) => {
    const slash = isDirectory ? '/' : ''
    // './' keeps a name like 'javascript:x' from being anything but a name.
    return `<li><a href="./${encodePath(bytes.toString('latin1'))}${slash}">${escapeHtml(text)}${slash}</a></li>`
  })
  if (path !== '') lines.unshift('<li><a href="../">../</a></li>')
  if (shown.length > NAMES_MAX) lines.push(`<li>… and ${shown.length - NAMES_MAX} more</li>`)
  const title = escapeHtml(`/${Buffer.from(path, 'latin1').toString()}`)
  return Buffer.from(
    `<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>${title}</title><style>${STYLE}</style></head>\n` +
      `<body><h1>${title}</h1>\n<ul>\n${lines.join('\n')}\n</ul>\n</body></html>\n`,
  )
}
