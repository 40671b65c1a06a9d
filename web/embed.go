// Package web holds the pages and what they need, embedded into the program.
// Nothing in it is code that runs here; it may be read from anywhere.
package web

import (
	"embed"
	"io/fs"
)

//go:embed data ui
var files embed.FS

// Data returns the default data files: the folders templates and static.
func Data() fs.FS { return sub("data") }

// UI returns the pages of access control: the folders templates and static. They
// are no data files: nobody edits them, and they are always as new as the program.
func UI() fs.FS { return sub("ui") }

// sub returns one of the folders above.
func sub(folder string) fs.FS {
	f, err := fs.Sub(files, folder)
	if err != nil {
		return files // fs.Sub fails for malformed names only, and these are none
	}
	return f
}
