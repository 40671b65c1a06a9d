// Package web holds the pages and what they need, embedded into the program.
// Nothing in it is code that runs here; it may be read from anywhere.
package web

import (
	"embed"
	"io/fs"
)

//go:embed data
var files embed.FS

// Data returns the default data files: the folders templates and static.
func Data() fs.FS {
	data, err := fs.Sub(files, "data")
	if err != nil {
		return files // fs.Sub fails for malformed names only, and "data" is none
	}
	return data
}
