// SPDX-License-Identifier: GPL-2.0-or-later
// Runs the importer of the npm package speedscope on a file, outside a browser, and prints what it made
// of it as JSON:   node speedscope_import.js PACKAGE-DIRECTORY FILE
//
// The package ships one bundled script. Its importer is the function that the page's own
// loadFileFromBase64() calls; a line put in front of the bundle hands it out. What the script does to the
// page while it loads meets a stand-in that takes everything.
'use strict';
const fs = require('fs');
const path = require('path');
const vm = require('vm');

const [dir, file] = process.argv.slice(2);
const release = path.join(dir, 'dist', 'release');
const bundle = fs.readdirSync(release).find((f) => /^speedscope-\w+\.js$/.test(f));
const source = fs.readFileSync(path.join(release, bundle), 'utf8');

function fail(text) {
	console.error('speedscope_import: ' + text);
	process.exit(3);
}

const name = /loadFileFromBase64:\((\w+),(\w+)\)=>\{this\.loadProfile\(\(\)=>(\w+)\(\1,\2\)\)/.exec(source);
const head = /^("use strict";)?\(\(\)=>\{/.exec(source);
if (!name || !head)
	fail('this release of speedscope is built in another way');

const standIn = new Proxy(function () {}, {
	get: (target, key) => key === Symbol.toPrimitive ? () => '' : key === Symbol.iterator ? undefined
		: key === 'length' ? 0 : key === 'then' ? undefined : standIn,
	set: () => true,
	apply: () => standIn,
	construct: () => standIn,
	has: () => true,
});
const context = {
	window: standIn, document: standIn, navigator: {userAgent: 'node', platform: 'Linux'}, location: standIn,
	self: standIn, localStorage: standIn, requestAnimationFrame: () => 0, FileReader: standIn,
	addEventListener: () => {}, devicePixelRatio: 1, history: standIn, Element: standIn,
	HTMLElement: standIn, WebGLRenderingContext: standIn, FontFace: standIn, performance, URL,
	TextDecoder, TextEncoder, atob, btoa, setTimeout, clearTimeout, Promise, fetch: () => new Promise(() => {}),
	console: {log: () => {}, warn: () => {}, error: () => {}},
};
context.globalThis = context;
vm.createContext(context);
try {
	vm.runInContext(source.slice(0, head[0].length) + 'globalThis.importFile=(n,d)=>' + name[3] + '(n,d);' +
		source.slice(head[0].length), context);
} catch (e) {
	if (!context.importFile)
		fail('the script does not load: ' + e);
}

function describe(profile) {
	const frames = [];
	profile.forEachFrame((f) => frames.push([f.name, f.file, f.line === undefined ? 0 : f.line,
		f.getSelfWeight(), f.getTotalWeight()]));
	return {name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalNonIdleWeight(),
		samples: profile.samples.length, frames};
}

context.importFile(path.basename(file), fs.readFileSync(file).toString('base64')).then((group) => {
	if (!group)
		fail('not accepted');
	process.stdout.write(JSON.stringify({name: group.name, index: group.indexToView,
		profiles: group.profiles.map(describe)}) + '\n');
}, (e) => fail('not accepted: ' + e));
