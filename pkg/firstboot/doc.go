// Package firstboot applies the files that a person puts on the boot partition
// of the card: webgear-setup.yaml, written by hand, and rpi-preseed.toml,
// written by the wizard of Raspberry Pi Imager. It owns how they are read, what
// is refused, what they change below the injected directories, and that each
// change happens once, completely, whenever the power goes.
//
// A file is applied when its content differs from what was applied last, also a
// month later. What it does not name stays as it is. All of a file is checked
// before anything of it is applied: of a wrong webgear-setup.yaml nothing is
// applied, and webgear-setup-errors.txt beside it says what to do, line by line.
// Of the wizard's file each value that cannot be honoured is reported by name
// and the rest is applied, because its user cannot correct it. When both files
// are new, webgear-setup.yaml has the last word.
//
// The order is: apply, note on the data partition what was applied, remove the
// secrets from the file. A run that is killed before the note is repeated as a
// whole, a run that is killed behind it goes on removing. Each step is
// repeatable, and each file is written beside, synced and renamed, also on FAT.
// The card may keep old blocks that held a secret: nothing that a program
// writes can prevent that on flash memory.
//
// The package starts no program, makes no system call of its own and no
// connection: what takes more than a file is left to [Options].Activate.
// Nothing here may keep the camera from running: mistakes of people are in the
// [Report], and only failures of the disk are errors. One run at a time; the
// functions that only read may be called whenever.
package firstboot
