import { readDockerfile, readTriggers } from '../dockerfile';
import { platformArgs } from './instructions';

const reg = 'reg:5000/acme';
const kit = { args: platformArgs({ os: 'linux', arch: 'amd64' }, 'linux/arm64/v8') };
const read = (text: string, args: Record<string, string | null> = {}): ReturnType<typeof readDockerfile> => readDockerfile(text, args, kit);
const written = (text: string): string => read(text).write((reference) => `<${reference}>`);
const named = (text: string): string[] => read(text).images.map(({ reference, how }) => `${how} ${reference}`);

describe('a Dockerfile for BuildKit', () => {
  it('is written anew, an instruction a line', () => {
    expect(written(`# check=skip=all\n# a comment\nARG A=1\nFROM --platform=$BUILDPLATFORM ${reg}/web AS Base\nRUN --mount=type=cache,id=x,target=/c --network=none echo \\\n  # inside\n  a\nFROM base\nCOPY --link --chmod=755 --from=Base /a /b\n`)).toBe(
      `ARG A=1\nFROM --platform=$BUILDPLATFORM <${reg}/web> AS base\nRUN --mount=type=cache,id=x,target=/c --network=none echo   a\nFROM base\nCOPY --link --chmod=755 --from=base /a /b\n`);
  });

  it('names the images that mounts are of', () => {
    expect(written(`FROM scratch AS a\nRUN --mount=from=a,target=/a --mount=type=bind,from=${reg}/b:1,source=/x,target=/b,rw --mount=type=cache,from=scratch,target=/c x`)).toContain(
      `RUN --mount=type=bind,target=/a,from=a --mount=type=bind,source=/x,target=/b,rw,from=<${reg}/b:1> --mount=type=cache,target=/c,from=scratch x`);
    expect(named('FROM scratch AS a\nRUN --mount=from=b,target=/x y')).toEqual(['copy b']);
    // A mount knows no stage by its number.
    expect(named('FROM scratch\nFROM scratch\nRUN --mount=from=0,target=/x y\nCOPY --from=0 / /')).toEqual(['copy 0']);
    expect(named('FROM scratch\nONBUILD RUN --mount=from=b,target=/x y')).toEqual(['copy b']);
  });

  it('knows the variables of platforms', () => {
    expect(named(`FROM ${reg}/web-$TARGETARCH$TARGETVARIANT\nFROM ${reg}/tools-\${BUILDARCH}`)).toEqual([`base ${reg}/web-arm64v8`, `base ${reg}/tools-amd64`]);
    expect(readDockerfile(`FROM ${reg}/web-$TARGETARCH`).images).toEqual([{ reference: `${reg}/web-`, how: 'base' }]);
  });

  it('says what reaches the host’s network, and what the engine fetches', () => {
    expect(read('FROM scratch\nRUN --network=host x\nRUN --network=none y').hostNetworks).toEqual(['RUN --network=host x']);
    expect(read('FROM scratch\nONBUILD RUN --network=host x').hostNetworks).toEqual(['RUN --network=host x']);
    expect(readTriggers(['RUN --network=host x'], kit).hostNetworks).toEqual(['RUN --network=host x']);
    for (const source of ['http://a/b', 'git@github.com:a/b.git', 'me@host:a/b', 'github.com/a/b', 'a/b.git', 'a/b.git#main', '["http://a", "/"]', '$X', 'ssh://a/b']) expect([source, read(`FROM scratch\nADD ${source} /x`).fetches.length]).toEqual([source, 1]);
    for (const list of [`["http\\u003a'/'/169.254.169.254/x", "/x"]`, '["me\\u0040host\\u003aa/b", "/x"]']) expect([list, read(`FROM scratch\nADD ${list}`).fetches.length]).toEqual([list, 1]);
    for (const source of ['a/b.tar', 'a.gitignore', '--checksum=x a']) expect([source, read(`FROM scratch\nADD ${source} /x`).fetches.length]).toEqual([source, 0]);
  });

  it('leaves commands as they are', () => {
    for (const command of ['echo a\u00a0b', '-x', 'a < b > c', '["/bin/sh", "-c", "x"]', 'grep -- --mount=from=x y']) expect(written(`FROM scratch\nRUN ${command}`)).toBe(`FROM scratch\nRUN ${command}\n`);
  });

  it.each([
    ['another reader', '# syntax=docker/dockerfile:1\nFROM scratch'], ['another reader, after other directives', '# check=skip=all\n#syntax = x\nFROM scratch'], ['another reader by a slash', '// syntax=x\nFROM scratch'],
    ['another escape', '# escape=`\nFROM scratch'], ['insecure', 'RUN --security=insecure x'], ['sandbox by that option', 'RUN --security=sandbox x'], ['devices', 'RUN --device=x y'], ['an unknown option', 'RUN --what=1 x'], ['an option of others', 'COPY --mount=type=bind x y'],
    ['options of FROM', 'FROM --from=x y'], ['a network twice', 'RUN --network=none --network=host x'], ['another network', 'RUN --network=x y'], ['a variable as network', 'RUN --network=$X y'], ['from with a variable', 'RUN --mount=from=$X,target=/x y'],
    ['from twice', 'RUN --mount=from=a,from=b,target=/x y'], ['from in another case', 'RUN --mount=From=a,target=/x y'], ['from in quotes', 'RUN --mount=type=bind,"from=a",target=/x y'], ['quotes around all', 'RUN --mount="from=a" y'],
    ['an empty from', 'RUN --mount=from=,target=/x y'], ['an unknown member', 'RUN --mount=type=bind,image=a,target=/x y'], ['an unknown type', 'RUN --mount=type=host,source=/,target=/x y'], ['no type', 'RUN --mount=type=,target=/x y'], ['an empty mount', 'RUN --mount= y'], ['a bare mount', 'RUN --mount y'],
    ['a member of another type', 'RUN --mount=type=secret,from=a,target=/x y'], ['a strange blank in front', 'RUN \u00a0--mount=from=a,target=/x y'], ['a strange blank between', 'RUN --network=none \u00a0--mount=from=a,target=/x y'], ['a strange blank behind', 'RUN --network=none\u00a0--mount=from=a,target=/x y'],
    ['a folded option', 'RUN --mount=\\\nfrom=a y'.replace('=\\\n', '\\ =')], ['the end of options', 'RUN -- x'],
    ['a document', 'RUN <<E\nRUN x\nE'], ['a document behind', 'RUN cat <<-E\nE'], ['a document to copy', 'COPY <<E /x\nE'], ['a document by number', 'RUN cat 3<<E\nE'], ['a document behind a variable', 'RUN ${X:-}<<E\nE'],
    ['a document of a variable', 'RUN ${X:-<}<E\nE'], ['a document of two variables', 'RUN ${X:-<}${Y:-<}E\nE'], ['a document as trigger', 'ONBUILD RUN <<E\nE'],
  ])('refuses %s', (_what, text) => expect(() => read(/^(?:#|\/\/|FROM)/.test(text) ? text : `FROM scratch\n${text}\n`)).toThrow(expect.objectContaining({ code: 'clusters.spec-invalid' })));
});
