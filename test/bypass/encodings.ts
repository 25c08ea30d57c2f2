import { type Attempt, container, texts, written } from './book';

export const attempt: Attempt = {
  title: 'write the body in other encodings',
  source: 'byte order marks, UTF-16 and bytes that are no UTF-8',
  try: (world) => {
    const text = written(world);
    const bad = JSON.stringify(container(world, { HostConfig: { Privileged: true } }));
    const latin = (each: string): Buffer => Buffer.from(each, 'latin1');
    return texts(world, [`\ufeff${text}`, Buffer.from(text, 'utf16le'), Buffer.from(`\ufeff${bad}`, 'utf16le'), latin(written(world,
      '"Labels":{"\xff":"a"},')), latin(written(world, '"Labels":{"\xc0\xaf":"a"},')), latin(written(world,
      '"Host\xc3onfig":{"Privileged":true},')), latin(written(world, '"Labels":{"\xed\xa0\x80":"a"},')),
      written(world, '"Labels":{"\\ud800":"a"},'), written(world, '"Labels":{"a":"\\udfff\\ud800"},'), latin(`\xa0${text}`),
        `\u2028${text}`, `\v${text}`, `+ADw-${text}`, `/**/${text}`, `<!--${text}`]);
  },
};
