-- What a person may ask of a BatchJob. All are annotations that the operator takes into the status,
-- so that self-heal has nothing to revert in the spec.
local actions = {}
local paused = obj.status ~= nil and obj.status.pausedUntil ~= nil
actions["run-now"] = { displayName = "Run now", iconClass = "fa fa-fw fa-play" }
actions["pause"] = { displayName = "Pause", iconClass = "fa fa-fw fa-pause", disabled = paused }
actions["resume"] = { displayName = "Resume", iconClass = "fa fa-fw fa-step-forward", disabled = not paused }
return actions
