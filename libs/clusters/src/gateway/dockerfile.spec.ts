import fc from 'fast-check';
import { readDockerfile, readTriggers } from './dockerfile';

const reg = 'reg:5000/acme';
const images = (text: string, args = {}): string[] => readDockerfile(text, args).images.map(({ reference, how }) => `${how} ${reference}`);
const written = (text: string): string => readDockerfile(text).write((reference) => `<${reference}>`);

describe('readDockerfile', () => {
  it.each<[string, string, string[], Record<string, string | null>?]>([
    ['one base', `FROM ${reg}/web:1\nRUN true`, [`base ${reg}/web:1`]],
    ['scratch', 'FROM scratch\nCOPY a /', []],
    ['stages by name, in any case, and by number', `FROM ${reg}/a AS Build\nFROM BUILD as two\nCOPY --from=build /a /\nCOPY --from=0 /a /\nCOPY --from=1 /a /`, [`base ${reg}/a`]],
    ['a stage that comes later is an image', `FROM later\nFROM ${reg}/b AS later`, ['base later', `base ${reg}/b`]],
    ['a number that is no stage is an image', `FROM ${reg}/a\nCOPY --from=1 /a /`, [`base ${reg}/a`, 'copy 1']],
    ['images that are copied from', `FROM scratch\ncopy --chown=1:2 --from=${reg}/b:1 /a /`, [`copy ${reg}/b:1`]],
    ['ids', `FROM ${'a'.repeat(64)}\nCOPY --from=sha256:${'b'.repeat(64)} / /`, [`base ${'a'.repeat(64)}`, `copy sha256:${'b'.repeat(64)}`]],
    ['variables', `ARG HOST=reg:5000 NAME="acme/web"\nARG TAG\nFROM \${HOST}/$NAME:\${TAG:-1}`, [`base ${reg}/web:1`]],
    ['variables from outside', `ARG NAME=web\nFROM ${reg}/$NAME`, [`base ${reg}/other`], { NAME: 'other' }],
    ['variables of variables', `ARG A=acme\nARG B=reg:5000/$A\nFROM $B/web`, [`base ${reg}/web`]],
    ['continued lines with comments between', `FR\\\nOM \\\n# FROM x\n\n ${reg}/web:1`, [`base ${reg}/web:1`]],
    ['lines that end as those of Windows do', `FROM ${reg}/web:1\r\nRUN a\r\n`, [`base ${reg}/web:1`]],
    ['a platform', `FROM --platform=linux/amd64 ${reg}/web:1`, [`base ${reg}/web:1`]],
    ['triggers of its own', `FROM scratch\nONBUILD COPY --from=${reg}/b / /\nONBUILD RUN x`, [`copy ${reg}/b`]],
    ['names of stages in triggers are images', `FROM scratch AS a\nONBUILD COPY --from=a / /`, ['copy a']],
    ['a mark at the beginning', `\ufeff# syntax=docker/dockerfile:1\nFROM ${reg}/web:1`, [`base ${reg}/web:1`]],
  ])('finds %s', (...[, text, found, args]) => expect(images(text, args)).toEqual(found));

  it.each([
    ['nothing', ''], ['no FROM', 'ARG A=1'], ['an instruction before FROM', 'RUN x\nFROM scratch'], ['an unknown instruction', 'FROM scratch\nINCLUDE x'], ['another escape', '# escape=`\nFROM scratch'],
    ['a blank that is none', 'FROM scratch\nCOPY \u00a0--from=x /a /'], ['a blank in an option', 'FROM scratch\nCOPY --chown=a\u00a0--from=x /a /'], ['quotes in an option', 'FROM scratch\nCOPY --from="x" /a /'],
    ['a variable in an option', 'FROM scratch\nCOPY --from=$X /a /'], ['an option without value', 'FROM scratch\nCOPY --from /a /'], ['an odd variable', 'ARG A\nFROM ${A%x}'], ['an empty name', 'ARG A\nFROM $A'], ['quotes in a name', 'FROM "x"'],
    ['more than a name', 'FROM a b c d'], ['no name for the stage', 'FROM scratch AS'], ['a stage called scratch', 'FROM x AS scratch'], ['a trigger of a trigger', 'FROM scratch\nONBUILD ONBUILD RUN x'], ['a trigger of FROM', 'FROM scratch\nONBUILD FROM x'],
    ['a document', 'FROM scratch\nCOPY <<EOF /a\nx\nEOF'], ['a document behind a word', "FROM scratch\nRUN cat 3<<-'EOF'"], ['a NUL', 'FROM scratch\0'], ['a word that only looks like one', 'FROM scratch\nCOP\u017f x'], ['a blank before the word', '\u00a0FROM x'],
  ])('refuses %s', (_what, text) => expect(() => readDockerfile(text)).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' })));

  it.each([
    ['an address', 'ADD http://127.0.0.1/x /'], ['one in a list', 'ADD ["https://a/x", "/"]'], ['one in a list with escapes', 'ADD ["\\u0068ttp://a/x", "/"]'], ['a list that is none', 'ADD ["http://a/x", "/"] x'], ['a variable', 'ADD $A /'], ['a part of one', 'ADD h${A}ttp://x /'],
    ['quotes', 'ADD "a b" /'], ['a repository', 'ADD git@a:b /'], ['one in a trigger', 'ONBUILD ADD http://a/ /'],
    ['quotes within a list', `ADD ["http:'/'/169.254.169.254/x", "/x"]`], ['quotes within a list, written as such', 'ADD ["http:\\u0022/\\u0022/169.254.169.254/x", "/x"]'],
  ])('says that %s is fetched', (_what, line) => expect(readDockerfile(`FROM scratch\n${line}`).fetches).toHaveLength(1));

  it('says of files that they are not fetched', () => expect(readDockerfile('FROM scratch\nADD a b.tar /\nADD ["a b", "/"]\nCOPY http://a /\nRUN wget http://a').fetches).toEqual([]));

  it('writes an instruction a line, with other names for images and all else as it was', () => {
    expect(written(`# c\nARG A=1\nFROM ${reg}/web:$A as X\n# c\nRUN a \\\n  && b # c\n\nCOPY --from=${reg}/b --chown=1 /a  /b\nCOPY --from=x / /\nFROM x\nADD a /\nONBUILD COPY --from=${reg}/c / /\nCMD ["a",\\\n "b"]\nRUN ends \\\n`)).toBe(
      `ARG A=1\nFROM <${reg}/web:1> AS x\nRUN a   && b # c\nCOPY --from=<${reg}/b> --chown=1 /a  /b\nCOPY --from=x / /\nFROM x\nADD a /\nONBUILD COPY --from=<${reg}/c> / /\nCMD ["a", "b"]\nRUN ends\n`,
    );
  });

  it('writes nothing that it would read otherwise', () => {
    const piece = fc.constantFrom('FROM ', 'scratch', 'COPY ', '--from=', 'x', 'ADD ', 'RUN ', 'ONBUILD ', '\\', '\n', ' ', '#', '\t', '\r', '0', ' AS ', 'reg:5000/a/b', '"', '$A', '<<', 'ARG A=1', '/', '\\\n', '\\ \n');
    fc.assert(fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const read = (text: string): ReturnType<typeof readDockerfile> | null => {
        try {
          return readDockerfile(text);
        } catch {
          return null;
        }
      };
      const plan = read(`FROM scratch\n${pieces.join('')}`);
      if (!plan) return;
      const text = plan.write((reference) => reference);
      const again = read(text)!;
      expect(again.write((reference) => reference)).toBe(text);
      expect([again.images, again.fetches.length]).toEqual([plan.images, plan.fetches.length]);
      for (const line of text.split('\n')) expect(line).not.toMatch(/\\[ \t]*$|^[ \t#]/);
    }), { numRuns: 3_000 });
  });
});

describe('readTriggers', () => {
  it('finds what they copy from and fetch', () => expect(readTriggers([`COPY --from=${reg}/a / /`, 'COPY --from=0 / /', 'ADD http://a /', 'RUN x'])).toEqual({ images: [{ reference: `${reg}/a`, how: 'copy' }], fetches: ['ADD http://a /'], hostNetworks: [] }));
  it.each([['two'], ['RUN a\nADD http://a /'], [''], ['ONBUILD RUN x'], ['FROM x']])('refuses %j', (trigger) => expect(() => readTriggers([trigger])).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' })));
});
