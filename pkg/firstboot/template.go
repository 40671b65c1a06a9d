package firstboot

import _ "embed" // the template

//go:embed webgear-setup.yaml
var template string

// Template is the webgear-setup.yaml to put on the boot partition: all of it
// comments, it sets nothing and explains everything.
func Template() string { return template }
