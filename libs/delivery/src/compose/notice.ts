/**
 * What is wrong, or worth knowing, at one place of a Compose file.
 * `yaml`: not readable as YAML, or a form of YAML that is not taken; `limit`: too large; `unknown-key`: no key of the Compose
 * specification; `unsupported`: a key that Swarm or Gantry can not do, so the file is refused; `ignored`: a key that has no
 * effect here (always a warning); `invalid`: a wrong type or value; `missing`: something required is not there; `conflict`: two
 * places contradict each other; `variable`: interpolation failed; `attention`: taken, but perhaps not what was meant (a warning).
 */
export type ComposeNoticeCode =
  'yaml' | 'limit' | 'unknown-key' | 'unsupported' | 'ignored' | 'invalid' | 'missing' | 'conflict' | 'variable' | 'attention';

/** One finding; the message names the field and the remedy and never holds what a variable was replaced with. */
export interface ComposeNotice {
  /** RFC 6901 pointer into the file as YAML reads it (aliases and merge keys followed); empty for the whole file. */
  pointer: string;
  /** Place in the text, counted from 1; null where there is none. */
  line: number | null;
  column: number | null;
  code: ComposeNoticeCode;
  message: string;
}

/** Appends one reference token to an RFC 6901 pointer. */
export function pointerTo(pointer: string, key: string | number): string {
  return `${pointer}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}
