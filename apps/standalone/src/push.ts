import type { Image } from './sample-image';

/**
 * Pushes an image to a registry as any client does: token from the realm that the registry names, blobs that it lacks, manifest.
 * @throws Error naming the step that the registry refused
 */
export async function pushImage(registry: string, credentials: { username: string; password: string }, repository: string, tag: string, image: Image): Promise<void> {
  const challenge = await fetch(`${registry}/v2/`);
  const realm = /realm="([^"]+)"/.exec(challenge.headers.get('www-authenticate') ?? '')?.[1];
  const service = /service="([^"]+)"/.exec(challenge.headers.get('www-authenticate') ?? '')?.[1];
  if (realm === undefined || service === undefined) throw new Error(`the registry at ${registry} did not say where its tokens come from (${challenge.status})`);
  const ask = new URL(realm);
  ask.searchParams.set('service', service);
  ask.searchParams.set('scope', `repository:${repository}:pull,push`);
  const answer = await fetch(ask, { headers: { authorization: `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}` } });
  if (!answer.ok) throw new Error(`the token service refused the push of ${repository}: ${answer.status} ${await answer.text()}`);
  const { token } = (await answer.json()) as { token: string };
  const send = async (what: string, expected: number[], url: string, init: RequestInit): Promise<Response> => {
    const result = await fetch(url, { ...init, headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` } });
    if (!expected.includes(result.status)) throw new Error(`the registry refused ${what} of ${repository}: ${result.status} ${await result.text()}`);
    return result;
  };
  for (const blob of image.blobs) {
    const known = await send('a look at a layer', [200, 404], `${registry}/v2/${repository}/blobs/${blob.digest}`, { method: 'HEAD' });
    if (known.status === 200) continue;
    const upload = await send('an upload', [202], `${registry}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(upload.headers.get('location') ?? '', registry);
    location.searchParams.set('digest', blob.digest);
    await send('a layer', [201], location.href, { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: new Uint8Array(blob.bytes) });
  }
  await send('the manifest', [201], `${registry}/v2/${repository}/manifests/${tag}`, { method: 'PUT', headers: { 'content-type': image.manifest.mediaType }, body: new Uint8Array(image.manifest.bytes) });
}
