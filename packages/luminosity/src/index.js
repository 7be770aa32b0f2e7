export { SeoEngine } from './engine.js';
export { LuminosityError } from './error.js';
export { RobotsBuilder } from './robots.js';
export { MetaBuilder, jsonLd, renderMeta } from './meta.js';
