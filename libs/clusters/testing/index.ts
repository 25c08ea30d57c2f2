export { describeEngineWay, type WayStage, type WayUnderTest } from './engine-way';
