import { type Attempt, type Json, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'learn from how few containers are listed what is hidden between them',
  source: 'engines count the newest containers before anybody looks whose they are; names in filters are patterns, any of which may match',
  alike: true,
  harmless: 'one’s own containers are listed',
  async try(world) {
    const { container: { name } } = world.own;
    const filters = (each: Json): string => encodeURIComponent(JSON.stringify(each));
    const list = (which: string, limit: number): Call => ['GET', `/containers/json?limit=${limit}&filters=${filters({ name: [`^/${name}$`, `^/${which}$`] })}`];
    const replies = await calls(world, world.foreign.flatMap(({ container }) => [1, 2].flatMap((limit): Call[] => [list(container.name, limit), list('nothing', limit)])));
    if (!replies.every(({ body }) => body.includes(world.own.container.id))) throw new Error(replies.map(({ status, body }) => `${status} ${body}`).join('\n'));
    return replies;
  },
};
