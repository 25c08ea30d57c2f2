/** JSON that is about to be written: objects are lists of members, so that a name can stand twice; `Written` is text as it is. */
export type Node = null | boolean | number | string | Node[] | Members | Written;

export class Members {
  constructor(readonly list: [name: string, value: Node][]) {}

  get(name: string): Node | undefined {
    return this.list.find(([key]) => key === name)?.[1];
  }

  /** Puts a value where the steps lead, and makes the objects on the way. */
  put(path: readonly string[], value: Node): void {
    const [first = '', ...rest] = path;
    const member = this.list.find(([key]) => key === first);
    if (rest.length === 0) {
      if (member) member[1] = value;
      else this.list.push([first, value]);
      return;
    }
    let next = member?.[1];
    if (!(next instanceof Members)) {
      next = new Members([]);
      if (member) member[1] = next;
      else this.list.push([first, next]);
    }
    next.put(rest, value);
  }
}

export class Written {
  constructor(readonly text: string) {}
}

/** A plain value as nodes. */
export function node(value: unknown): Node {
  if (value instanceof Members || value instanceof Written) return value;
  if (Array.isArray(value)) return value.map(node);
  if (typeof value === 'object' && value !== null) return new Members(Object.entries(value).map(([name, member]): [string, Node] => [name, node(member)]));
  return value as Node;
}

export function write(value: Node): string {
  if (value instanceof Written) return value.text;
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  if (value instanceof Members) return `{${value.list.map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join(',')}}`;
  return JSON.stringify(value);
}

/** All objects in a value, itself included, from the outside in. */
export function objectsIn(value: Node): Members[] {
  if (Array.isArray(value)) return value.flatMap(objectsIn);
  return value instanceof Members ? [value, ...value.list.flatMap(([, member]) => objectsIn(member))] : [];
}
