import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';

/** The web server of the sample (apps/standalone/sample/server.c, built by build.sh for linux/amd64): base64 of its gzip. */
const serverForAmd64 = `
H4sIAAAAAAACA+3RzUsUYRwH8GfXdhNN1qRDnpzDQonsuLNEhL0wg7s10kJFa533ZUJBd8N9hBXCpJAaQgjP/RPeptJ1pMOqRw/R
i5gE0ZIkdglv2/M882ztSliHLsH3AzOPv2ef7/P85vF+InnZ7/OROj+5RHhVJbqodTl/8uHPJWzuHGlh76MkKNYGSCO9aVzyk6aR
dHoDzwXZ48p5t0tvGsmMXP+4OXfjE80Fyd+TMWLcdvyk56m2kdDWjFvGsJEavmna8fC25vKhalbi4T3elGmnwvus2OSFMfNcNEQD
Q7WVnW8JHne1jfKCXycOvzWzUnlWq9VCAdN+Zc66UyHnAost+8VGr0MBY5F/SNL+qH0dmlvge7E9kr3rCX5s1bQ/sOSsOx0Y8q3s
vH3JY2V+rtMrNvgiFhjOEVHFw6vJuVR407TfmU/uhVeds2w6FGAbitKco+Fttq+jsekXneI33lI3b5r37bXWUm9tp0fE5G8xfrTu
nSpypVVjmR+wJO5h8QR/L5FW9i7zz9DeN6b7RHCLdcZvosLjW7zXvaS9b9q77PsNp7Perfj2N2V3XmcX4x023c5uI2l/T9rr9SXa
hhMVu+6GAs6vph/1j+ZzVkkdoeNj/P9qplLX+zVVU2LRqHLtakfbYCFPrTyNpKbuWgMKtUq0n689r2RH0hNFi16cpHci58S6vJWl
o4X8gJIdKxStjraONgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
APBfujI4OKCcjluZ0XRe0WJqTI1GtDN9OSujxSa1XjlFiFocKdIJms4QlVolStSJQi5N00T13plikajZwvi4laf/pK929vjYE5R1
lehy9Kz5mtcfKMlxOReT9YJfl6NXHyO/z9fHbvl3i6zdLi/vyjyZac4rB/brYU9rY35e5h/IidbD82F5fvTAfD1/6g/9N/be6LPM
R8jh9/cDHuJIMtiEAAA=
`;

/** A piece of an image: its bytes, and what a manifest says of them. */
export interface ImagePart {
  mediaType: string;
  digest: string;
  size: number;
  bytes: Buffer;
}

/** An image ready to be pushed: blobs first, then the manifest. */
export interface Image {
  blobs: ImagePart[];
  manifest: ImagePart;
}

const part = (mediaType: string, bytes: Buffer): ImagePart => ({ mediaType, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`, size: bytes.length, bytes });

/**
 * Makes the sample's image from nothing: one layer with a web server of 34 kB and the page it serves on port 8080. The same page gives the same
 * bytes, so that making it again after a crash pushes nothing new.
 */
export async function makeSampleImage(page: string): Promise<Image> {
  const tar = pack();
  const entry = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };
  tar.entry({ ...entry, name: 'server', mode: 0o755 }, gunzipSync(Buffer.from(serverForAmd64, 'base64')));
  tar.entry({ ...entry, name: 'index.html', mode: 0o644 }, page);
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  const plain = Buffer.concat(chunks);
  const layer = part('application/vnd.docker.image.rootfs.diff.tar.gzip', gzipSync(plain, { level: 9 }));
  const config = part(
    'application/vnd.docker.container.image.v1+json',
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        created: '1970-01-01T00:00:00Z',
        // The server is process 1 without a handler for SIGTERM, which the kernel then ignores; it has nothing to save.
        config: { Entrypoint: ['/server'], ExposedPorts: { '8080/tcp': {} }, StopSignal: 'SIGKILL', User: '65534:65534', Labels: { 'org.opencontainers.image.title': 'Gantry sample' } },
        rootfs: { type: 'layers', diff_ids: [part('', plain).digest] },
        history: [{ created: '1970-01-01T00:00:00Z', created_by: 'gantry sample' }],
      }),
    ),
  );
  const describe = ({ mediaType, size, digest }: ImagePart): Omit<ImagePart, 'bytes'> => ({ mediaType, size, digest });
  const manifest = part(
    'application/vnd.docker.distribution.manifest.v2+json',
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.docker.distribution.manifest.v2+json', config: describe(config), layers: [describe(layer)] })),
  );
  return { blobs: [layer, config], manifest };
}

/** The page that the sample serves. */
export const samplePage = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Hello from Gantry</title>
<style>body{font:18px/1.6 system-ui,sans-serif;max-width:40rem;margin:15vh auto;padding:0 1.5rem;color:#1b2733}code{background:#eef2f5;padding:.1em .35em;border-radius:4px}</style>
<h1>Hello from Gantry</h1>
<p>This page is served by the application <code>hello</code> in the environment <code>dev</code>. Its image was pushed to Gantry's registry, signed,
verified against the environment's policy, pinned by digest and rolled out to the Swarm, and every step is in the audit record.</p>
<p>Change <code>hello</code>, or deploy your own: the README's tour shows how.</p>
</html>
`;
