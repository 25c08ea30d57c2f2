import { readMessage } from './made';

const whole = `sha256:${'ab'.repeat(32)}`;
const line = (message: object): string => `${JSON.stringify(message)}\r`;

describe('what engines tell of images that they make', () => {
  it('is read where it stands, and nowhere else', () => {
    const image = [{ kind: 'image', id: whole }];
    expect(readMessage('build', line({ aux: { ID: whole } }), '')).toEqual(image);
    expect(readMessage('build', line({ stream: ' ---> 0123456789ab\n' }), '')).toEqual([{ kind: 'image', id: '0123456789ab' }]);
    expect(readMessage('build', line({ stream: ' ---> Running in 0123456789ab\n' }), '')).toEqual([{ kind: 'container', id: '0123456789ab' }]);
    expect(readMessage('quiet-build', line({ stream: `${whole}\n` }), '')).toEqual(image);
    expect(readMessage('import', line({ status: whole }), '')).toEqual(image);
    expect(readMessage('load', line({ stream: `Loaded image ID: ${whole}\n` }), '')).toEqual(image);
    expect(readMessage('load', line({ stream: 'Loaded image: r.example/acme/web:1\n' }), '')).toEqual([{ kind: 'image', id: 'r.example/acme/web:1' }]);
    expect(readMessage('pull', line({ status: 'Status: Downloaded newer image for alpine:3' }), 'docker.io/library/alpine:3')).toEqual([{ kind: 'image', id: 'docker.io/library/alpine:3' }]);
  });

  it('is nothing that a program prints in between', () => {
    // A whole id stands beside what is printed, never in it.
    for (const stream of [whole, `${whole}\n`, `{"aux":{"ID":"${whole}"}}\n`, `Loaded image: evil:1\n`, 'Successfully built 0123456789ab\n', ' ---> 0123456789ab and more\n', ' ---> Using cache\n']) {
      expect([stream, readMessage('build', line({ stream }), '')]).toEqual([stream, []]);
    }
    for (const text of ['', '\r', 'null', '[]', '"x"', '{', '{"aux":null}', '{"aux":{"ID":7}}', '{"stream":{}}', `{"errorDetail":{"message":"${whole}"}}`, '{"status":"Status: something else for alpine"}']) {
      for (const teller of ['build', 'quiet-build', 'import', 'load', 'pull'] as const) expect([text, readMessage(teller, text, 'x')]).toEqual([text, []]);
    }
  });
});
