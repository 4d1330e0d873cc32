// Reads filters of containerd, one JSON string a line, and prints what its own package answers for one snapshot: true, false or error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/filters"
)

var labels = map[string]string{"a": "1", "containerd.io/snapshot.ref": "sha256:00", "x y": "é\""}

func field(path []string) (string, bool) {
	switch path[0] {
	case "name":
		return "default/3/name", true
	case "parent":
		return "p,q", true
	case "kind":
		return "active", true
	case "labels":
		value, present := labels[strings.Join(path[1:], ".")]
		return value, present
	}
	return "", false
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	for input.Scan() {
		var text string
		if err := json.Unmarshal(input.Bytes(), &text); err != nil {
			panic(err)
		}
		filter, err := filters.ParseAll(text)
		if err != nil {
			fmt.Fprintln(output, "error")
			continue
		}
		fmt.Fprintln(output, filter.Match(filters.AdapterFunc(field)))
	}
}
