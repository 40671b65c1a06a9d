// Package datafiles owns the data files: the folder with the templates, styles,
// scripts and pictures of the web pages, which people edit. It finds the folder
// ([Locate]), fills it with the defaults ([Provision]) and gives access to it
// ([Open]).
//
//	webgear
//	├── static
//	│   ├── css/custom.css
//	│   ├── img/favicon-32x32.png
//	│   └── js/custom.js
//	└── templates
//	    ├── 404.html
//	    ├── 500.html
//	    ├── base.html
//	    └── index.html
//
// Three files are critical, index.html, 404.html and 500.html: pages cannot do
// without them. While all three are there, by name, nothing is restored: what a
// person deleted stays deleted.
//
// No file of a person's is ever lost: each file is written beside, synced, and
// put in place by one step that the kernel does whole or not at all. A run that
// is killed at any moment leaves whole files and at most some temporary ones,
// which the next run removes. Neither links nor ".." lead out of the folder.
//
// The package knows neither the defaults (they are passed in) nor HTTP. Its
// functions may run at the same time, also in several processes; a [Files] is
// safe for concurrent use.
package datafiles
