export * from './distribution';
export * from './images';
export * from './rooms';
