// The libraries, in one place.
import {h, render, Fragment} from './vendor/preact.js';
import {useEffect, useMemo, useRef, useState, useLayoutEffect} from './vendor/hooks.js';
import htm from './vendor/htm.js';

export const html = htm.bind(h);
export {render, Fragment, useEffect, useMemo, useRef, useState, useLayoutEffect};
