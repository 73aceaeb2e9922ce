package provider

// Merge parses two objects and merges them, as layers of a node are.
func Merge(base, over string) (string, error) {
	b, err := parse("base.json", []byte(base))
	if err != nil {
		return "", err
	}
	o, err := parse("over.json", []byte(over))
	if err != nil {
		return "", err
	}
	m, err := merge(b, o, "")
	if err != nil {
		return "", err
	}
	return string(m.json()), nil
}

// Read parses a file as nodes are read, and returns it as JSON.
func Read(text string) (string, error) {
	v, err := parse("nodes/a.json", []byte(text))
	if err != nil {
		return "", err
	}
	if v, err = merge(&value{from: v.from, members: []member{}}, v, ""); err != nil {
		return "", err
	}
	return string(v.json()), joined(append(unset(v, ""), decode(v, &Properties{})...))
}
