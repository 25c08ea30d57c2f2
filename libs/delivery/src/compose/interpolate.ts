/** Thrown by `interpolate`; the message names the variable and never holds a value. */
export class InterpolationError extends Error {}

const maxNesting = 8;
const nameAt = /[A-Za-z_][A-Za-z0-9_]*/y;

/**
 * Replaces `$NAME` and `${NAME…}` in one scalar as the Compose specification has it: `:-` and `-` give a default, `:?` and `?`
 * an error, `:+` and `+` a replacement; the forms with a colon take an empty value for a missing one; `$$` is a dollar sign.
 * Defaults and replacements may hold further variables. What a variable holds is never read again.
 * Stricter than the specification: a variable that is not defined and has no default is an error.
 * @throws InterpolationError
 */
export function interpolate(text: string, variables: Record<string, string>): string {
  return text.includes('$') ? replace(text, variables, 0) : text;
}

function replace(text: string, variables: Record<string, string>, depth: number): string {
  if (depth > maxNesting) throw new InterpolationError(`variables are nested deeper than ${maxNesting} levels`);
  let out = '';
  let at = 0;
  for (;;) {
    const dollar = text.indexOf('$', at);
    if (dollar === -1) return out + text.slice(at);
    out += text.slice(at, dollar);
    const next = text[dollar + 1];
    if (next === '$') {
      out += '$';
      at = dollar + 2;
    } else if (next === '{') {
      const end = closing(text, dollar + 2);
      out += braced(text.slice(dollar + 2, end), variables, depth);
      at = end + 1;
    } else {
      const name = match(text, dollar + 1);
      if (name === '') throw new InterpolationError('a lone "$" does not name a variable; write "$$" for a dollar sign');
      out += required(name, variables);
      at = dollar + 1 + name.length;
    }
  }
}

/** Index of the brace that ends the expression which begins at `from`. */
function closing(text: string, from: number): number {
  let open = 1;
  for (let at = from; at < text.length; at++) {
    if (text[at] === '$' && text[at + 1] === '$') at++;
    else if (text[at] === '$' && text[at + 1] === '{') {
      open++;
      at++;
    } else if (text[at] === '}' && --open === 0) return at;
  }
  throw new InterpolationError('"${" has no closing brace; write "$$" for a dollar sign');
}

function braced(expression: string, variables: Record<string, string>, depth: number): string {
  const name = match(expression, 0);
  const rest = expression.slice(name.length);
  if (name === '') throw new InterpolationError('"${" is not followed by the name of a variable; write "$$" for a dollar sign');
  if (rest === '') return required(name, variables);
  const colon = rest.startsWith(':');
  const operator = rest[colon ? 1 : 0];
  const operand = rest.slice(colon ? 2 : 1);
  const found = Object.hasOwn(variables, name) ? variables[name] : undefined;
  const present = found !== undefined && !(colon && found === '');
  if (operator === '-') return present ? found : replace(operand, variables, depth + 1);
  if (operator === '+') return present ? replace(operand, variables, depth + 1) : '';
  if (operator === '?') {
    if (present) return found;
    throw new InterpolationError(
      `variable ${name} is ${found === undefined ? 'not defined' : 'empty'}${operand === '' ? '' : `: ${operand}`}`,
    );
  }
  throw new InterpolationError(`the expression after variable ${name} is not known; use one of :- - :? ? :+ +`);
}

function match(text: string, at: number): string {
  nameAt.lastIndex = at;
  return nameAt.exec(text)?.[0] ?? '';
}

function required(name: string, variables: Record<string, string>): string {
  const found = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (found === undefined) {
    throw new InterpolationError(
      `variable ${name} is not defined; define it, give a default as in \${${name}:-…}, or write "$$" for a dollar sign`,
    );
  }
  return found;
}
