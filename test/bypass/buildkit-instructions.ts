import { type Attempt, each } from './book';

export const attempt: Attempt = {
  title: 'begin with, mount or copy what may not run, in the words of BuildKit’s Dockerfiles',
  source: 'its grammar has mounts, documents and readers that the classic one lacks',
  try(world) {
    const { signed, unsigned, hidden, onNode, nameless, unsignedId } = world.images;
    const bad = [unsigned, hidden, onNode, nameless, unsignedId];
    const texts = [
      ...bad.flatMap((image) => [`FROM ${image}\nRUN true\n`, `FROM scratch\nCOPY --from=${image} / /\n`.replace(unsigned, hidden), `FROM ${signed}\nRUN --mount=type=bind,from=${image.replace(unsigned, hidden)},target=/x cp -r /x /y\n`]),
      `# syntax=${unsigned}\nFROM ${signed}\n`, `#syntax = ${unsigned}\r\nFROM ${signed}\n`, `# check=skip=all\n# syntax=${unsigned}\nFROM ${signed}\n`, `#!/usr/bin/x\n# syntax=${unsigned}\nFROM ${hidden}\n`, `// syntax=${unsigned}\nFROM ${signed}\n`, `{"syntax": "${unsigned}"}\nFROM ${signed}\n`,
      `FROM ${signed}\nRUN <<FROM\nFROM scratch AS ${nameless}\nFROM\nCOPY --from=${nameless} / /\n`, `FROM ${signed}\nRUN \${X:-<}<MAINTAINER x\nFROM scratch AS y\nMAINTAINER\n`, `# escape=\`\nFROM ${signed}\nRUN true \`\nFROM ${hidden}\n`,
      `FROM ${signed}\nRUN --mount=type=cache,from=${hidden},target=/x true\n`, `FROM ${signed}\nRUN --mount="from=${hidden}",target=/x true\n`, `FROM ${signed}\nRUN \u00a0--mount=from=${hidden},target=/x true\n`, `FROM ${signed}\nRUN --network=none\u2003--mount=from=${hidden},target=/x true\n`,
      `FROM ${signed}\nRUN --mount=From=${hidden},target=/x true\n`, `ARG I=${hidden}\nFROM ${signed}\nARG I\nRUN --mount=from=$I,target=/x true\n`, `FROM ${signed}\nRUN --network=host true\n`, `FROM ${signed}\nRUN --security=insecure true\n`, `FROM ${signed}\nRUN --device=vendor/x true\n`,
      `FROM ${signed}\nONBUILD RUN --mount=from=${hidden},target=/x true\n`, `FROM scratch\nADD git@127.0.0.1:x/y /\n`, `FROM scratch\nADD github.com/x/y.git /\n`, `FROM scratch\nADD http://127.0.0.1:1/x /\n`, `FROM ${unsigned.slice(0, unsigned.lastIndexOf(':'))}\${TARGETVARIANT}:one\nRUN true\n`,
    ];
    return each(texts, (Dockerfile) => world.build(() => ({ Dockerfile })));
  },
};
