import { type Attempt, type Call, calls } from './book';

export const attempt: Attempt = {
  title: 'find others’ objects in the lists',
  source: 'CVE-2022-46463 and its family: lists that name what may not be opened',
  harmless: 'a list is answered; what others have is cut out of it',
  try: (world) =>
    calls(
      world,
      ['/containers/json?all=1&size=1', '/containers/json?all=1&limit=1000', '/networks', '/volumes', '/services', '/services?status=1',
        '/tasks', '/secrets', '/configs', '/images/json?all=1&digests=1', '/images/json?all=1&shared-size=0', '/system/df', '/info',
        '/version'].map((path): Call => ['GET', path]),
    ),
};
