package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// osEntry is an image in a list of Raspberry Pi Imager (its
// doc/json-schema/os-list-schema.json).
type osEntry struct {
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	Icon           string   `json:"icon"`
	URL            string   `json:"url"`
	BmapURL        string   `json:"bmap_url"`
	Website        string   `json:"website"`
	ReleaseDate    string   `json:"release_date"`
	ExtractSize    int64    `json:"extract_size"`
	ExtractSHA256  string   `json:"extract_sha256"`
	DownloadSize   int64    `json:"image_download_size"`
	DownloadSHA256 string   `json:"image_download_sha256"`
	Devices        []string `json:"devices"`
	Architecture   string   `json:"architecture"`
	// InitFormat is how the settings of the wizard reach the card. Package
	// firstboot reads this one; without a word here Imager shows no wizard.
	InitFormat   string   `json:"init_format"`
	Capabilities []string `json:"capabilities"`
}

// homepage is the project's.
const homepage = "https://github.com/webgear-pi/webgear"

// osList is the list with the one entry.
func (r *release) osList(raw string) ([]byte, error) {
	e := osEntry{
		Name:         "webgear " + r.version,
		Website:      homepage,
		URL:          r.url + "/" + url.PathEscape(r.name+".img.xz"),
		BmapURL:      r.url + "/" + url.PathEscape(r.name+".img.bmap"),
		ReleaseDate:  r.epoch.Format("2006-01-02"),
		Architecture: "armv8",
		InitFormat:   "rpi-preseed",
		Capabilities: []string{},
	}
	switch r.flavour {
	case "raspios":
		e.Description = "Network camera for USB and ribbon cable cameras: open http://webgear.local:8000/"
		e.Devices = []string{"pi3-64bit", "pi4-64bit", "pi5-64bit"}
	default:
		// Debian's kernel starts the Pi 5 without network and USB.
		e.Description = "Network camera for USB cameras: open http://webgear.local:8000/"
		e.Devices = []string{"pi3-64bit", "pi4-64bit"}
	}
	if r.icon != "" {
		png, err := os.ReadFile(r.icon)
		if err != nil {
			return nil, err
		}
		e.Icon = "data:image/png;base64," + base64.StdEncoding.EncodeToString(png)
	}
	var err error
	if e.ExtractSize, e.ExtractSHA256, err = fileSum(raw); err != nil {
		return nil, err
	}
	if e.DownloadSize, e.DownloadSHA256, err = fileSum(filepath.Join(r.out, r.name+".img.xz")); err != nil {
		return nil, err
	}
	return encode(map[string][]osEntry{"os_list": {e}})
}

// SPDX 2.3 in JSON, as far as it is used here.
type (
	spdxDocument struct {
		Version       string             `json:"spdxVersion"`
		License       string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Creation      spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID       string          `json:"SPDXID"`
		Name     string          `json:"name"`
		Version  string          `json:"versionInfo"`
		Download string          `json:"downloadLocation"`
		Analyzed bool            `json:"filesAnalyzed"`
		Source   string          `json:"sourceInfo,omitempty"`
		Refs     []spdxReference `json:"externalRefs"`
	}
	spdxReference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

// bill lists every Debian package in the image, and every Go module in webgear.
func (r *release) bill() ([]byte, error) {
	const none = "NOASSERTION"
	d := spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: r.name,
		Creation: spdxCreation{r.epoch.Format("2006-01-02T15:04:05Z"), []string{"Organization: webgear"}},
	}
	add := func(name, version, source, purl string) {
		id := fmt.Sprintf("SPDXRef-Package-%d", len(d.Packages))
		d.Packages = append(d.Packages, spdxPackage{id, name, version, none, false, source, []spdxReference{{"PACKAGE-MANAGER", "purl", purl}}})
		d.Relationships = append(d.Relationships, spdxRelationship{d.ID, "DESCRIBES", id})
	}
	packages, err := os.ReadFile(r.packages)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(packages)) {
		f := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if len(f) != 5 {
			return nil, fmt.Errorf("line %q has %d fields of 5", line, len(f))
		}
		add(f[0], f[1], "built from "+f[3]+" "+f[4], fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", f[0], url.QueryEscape(f[1]), f[2]))
	}
	if r.modules != "" {
		modules, err := os.ReadFile(r.modules)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(modules)) {
			if f := strings.Fields(line); len(f) >= 3 && f[0] == "dep" {
				add(f[1], f[2], "", "pkg:golang/"+f[1]+"@"+f[2])
			}
		}
	}
	d.Namespace = fmt.Sprintf("%s/%s/%x", homepage, r.name, sha256.Sum256(packages))
	return encode(d)
}

func encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}
