// Judge answers where kube-scheduler's default profile lets pods run.
//
// One JSON object a line comes in, a cluster and what is to be done with it step by step; one line
// with an answer for each step goes out. The PreFilter and Filter plugins are the real ones, asked
// one by one, so that an answer names every plugin that refuses. Nothing listens on the network.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/klog/v2"
)

const longestLine = 64 << 20

// request is a cluster and the steps to take on it, in order.
type request struct {
	Cluster objects `json:"cluster"`
	Steps   []step  `json:"steps"`
	// Validate: what an API server would say against these objects, instead of any step.
	Validate bool `json:"validate,omitempty"`
}

// step does exactly one of these.
type step struct {
	// Judge: for each of these pods (none: all that wait) and every node, who refuses and why.
	Judge *[]string `json:"judge,omitempty"`
	// Place: pods that come onto nodes together, in any order in which every one of them passes.
	Place []placement `json:"place,omitempty"`
	// Recheck: each of these placed pods against the state without it, on the node it has.
	Recheck []string `json:"recheck,omitempty"`
	// Put: objects that are new or have changed.
	Put *objects `json:"put,omitempty"`
	// Drop: pods that have gone.
	Drop []string `json:"drop,omitempty"`
}

// placement is a pod (namespace/name) and the node it comes to.
type placement struct {
	Pod  string `json:"pod"`
	Node string `json:"node"`
}

// refusals are messages by the plugin that refuses; none: the pod may run there.
type refusals map[string]string

// outcome is the answer to one step.
type outcome struct {
	// Refused: pod -> node -> refusals; nodes that refuse nothing are absent.
	Refused map[string]map[string]refusals `json:"refused,omitempty"`
	// Stuck: of a Place, what passed in no order that was tried, with who refused it last.
	Stuck map[string]refusals `json:"stuck,omitempty"`
	// Order: of a Place, the pods in an order in which each passes.
	Order []string `json:"order,omitempty"`
}

type answer struct {
	Outcomes []outcome `json:"outcomes,omitempty"`
	Invalid  []string  `json:"invalid,omitempty"`
	Error    string    `json:"error,omitempty"`
}

func main() {
	klog.SetOutput(os.Stderr)
	klog.LogToStderr(false)
	klog.SetOutputBySeverity("INFO", discard{})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, longestLine)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		if err := out.Encode(respond(in.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func respond(line []byte) answer {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: err.Error()}
	}
	if asked.Validate {
		return answer{Invalid: invalid(&asked.Cluster)}
	}
	one, err := newWorld(&asked.Cluster)
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer one.close()
	found := answer{Outcomes: []outcome{}}
	for _, each := range asked.Steps {
		outcome, err := one.take(each)
		if err != nil {
			return answer{Error: err.Error()}
		}
		found.Outcomes = append(found.Outcomes, outcome)
	}
	return found
}

type discard struct{}

func (discard) Write(text []byte) (int, error) { return len(text), nil }
