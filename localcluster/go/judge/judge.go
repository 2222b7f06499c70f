package main

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// The provisioner's: which node a claim's volume is made for.
const selectedNode = "volume.kubernetes.io/selected-node"

const mostTries = 2000 // placements tried for one Place before it counts as stuck

func (w *world) take(one step) (outcome, error) {
	switch {
	case one.Judge != nil:
		keys := *one.Judge
		if len(keys) == 0 {
			keys = w.waiting()
		}
		found := map[string]map[string]refusals{}
		for _, key := range keys {
			pod, err := w.pod(key)
			if err != nil {
				return outcome{}, err
			}
			if found[key], err = w.judge(pod); err != nil {
				return outcome{}, err
			}
		}
		return outcome{Refused: found}, nil
	case one.Place != nil:
		return w.place(one.Place)
	case one.Recheck != nil:
		return w.recheck(one.Recheck)
	case one.Put != nil:
		err := w.known.put(one.Put)
		w.look()
		return outcome{}, err
	case one.Drop != nil:
		for _, key := range one.Drop {
			if err := w.known.pods.drop(key); err != nil {
				return outcome{}, err
			}
		}
		w.look()
		return outcome{}, nil
	}
	return outcome{}, fmt.Errorf("a step that does nothing")
}

// judge asks every plugin about a pod: node -> who refuses, of these nodes or all. A plugin that
// fails refuses too: kube-scheduler places no pod then.
func (w *world) judge(pod *v1.Pod, among ...string) (map[string]refusals, error) {
	nodes, err := w.nodes(among...)
	if err != nil {
		return nil, err
	}
	every, err := w.nodes()
	if err != nil {
		return nil, err
	}
	found := map[string]refusals{}
	refuse := func(node, plugin, message string) {
		if found[node] == nil {
			found[node] = refusals{}
		}
		found[node][plugin] = message
	}
	state := framework.NewCycleState()
	for _, plugin := range w.plugins {
		name := plugin.Name()
		if before, ok := plugin.(framework.PreFilterPlugin); ok {
			only, status := before.PreFilter(w.context, state, pod, every)
			if status.IsSkip() {
				continue
			}
			if !status.IsSuccess() {
				for _, node := range nodes {
					refuse(node.Node().Name, name, status.Message())
				}
				continue
			}
			for _, node := range nodes {
				if !only.AllNodes() && !only.NodeNames.Has(node.Node().Name) {
					refuse(node.Node().Name, name, "not among those of PreFilter")
				}
			}
		}
		filter, ok := plugin.(framework.FilterPlugin)
		if !ok {
			continue
		}
		for _, node := range nodes {
			status := filter.Filter(w.context, state, pod, node)
			if status.IsSuccess() {
				continue
			}
			refuse(node.Node().Name, name, strings.Join(status.Reasons(), "; "))
		}
	}
	return found, nil
}

// place brings pods onto nodes in an order in which each of them passes, if there is one.
func (w *world) place(wanted []placement) (outcome, error) {
	tries := mostTries
	var order []string
	stuck := map[string]refusals{}
	var descend func(left []placement) (bool, error)
	descend = func(left []placement) (bool, error) {
		if len(left) == 0 {
			return true, nil
		}
		for index, one := range left {
			if tries--; tries < 0 {
				return false, nil
			}
			pod, err := w.pod(one.Pod)
			if err != nil {
				return false, err
			}
			refused, err := w.judge(pod, one.Node)
			if err != nil {
				return false, err
			}
			if why := refused[one.Node]; why != nil {
				stuck[one.Pod] = why
				continue
			}
			undo, err := w.bind(pod, one.Node)
			if err != nil {
				return false, err
			}
			rest := append(append([]placement{}, left[:index]...), left[index+1:]...)
			order = append(order, one.Pod)
			if done, err := descend(rest); done || err != nil {
				return done, err
			}
			order = order[:len(order)-1]
			if err := w.restore(undo); err != nil {
				return false, err
			}
		}
		return false, nil
	}
	done, err := descend(wanted)
	if err != nil {
		return outcome{}, err
	}
	if done {
		return outcome{Order: order}, nil
	}
	for _, one := range wanted { // as asked for, so that steps to come see it
		pod, err := w.pod(one.Pod)
		if err != nil {
			return outcome{}, err
		}
		if _, err := w.bind(pod, one.Node); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Stuck: stuck}, nil
}

// bind puts a pod onto a node and its unbound claims with it; returns what was there before.
func (w *world) bind(pod *v1.Pod, node string) (objects, error) {
	before := objects{Pods: []*v1.Pod{pod.DeepCopy()}}
	bound := pod.DeepCopy()
	bound.Spec.NodeName = node
	after := objects{Pods: []*v1.Pod{bound}}
	for _, volume := range pod.Spec.Volumes {
		name := ""
		switch {
		case volume.PersistentVolumeClaim != nil:
			name = volume.PersistentVolumeClaim.ClaimName
		case volume.Ephemeral != nil:
			name = pod.Name + "-" + volume.Name
		}
		found, exists, err := w.known.claims.indexer.GetByKey(pod.Namespace + "/" + name)
		if err != nil {
			return objects{}, err
		}
		if !exists {
			continue
		}
		claim := found.(*v1.PersistentVolumeClaim)
		if claim.Spec.VolumeName != "" || claim.Annotations[selectedNode] != "" {
			continue
		}
		before.PVCs = append(before.PVCs, claim.DeepCopy())
		chosen := claim.DeepCopy()
		if chosen.Annotations == nil {
			chosen.Annotations = map[string]string{}
		}
		chosen.Annotations[selectedNode] = node
		after.PVCs = append(after.PVCs, chosen)
	}
	return before, w.restore(after)
}

func (w *world) restore(all objects) error {
	err := w.known.put(&all)
	w.look()
	return err
}

// recheck takes each placed pod off and asks whether it could come back.
func (w *world) recheck(keys []string) (outcome, error) {
	found := map[string]map[string]refusals{}
	for _, key := range keys {
		pod, err := w.pod(key)
		if err != nil {
			return outcome{}, err
		}
		node := pod.Spec.NodeName
		free := pod.DeepCopy()
		free.Spec.NodeName = ""
		if err := w.restore(objects{Pods: []*v1.Pod{free}}); err != nil {
			return outcome{}, err
		}
		refused, err := w.judge(free, node)
		if err != nil {
			return outcome{}, err
		}
		found[key] = refused
		if err := w.restore(objects{Pods: []*v1.Pod{pod.DeepCopy()}}); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Refused: found}, nil
}
