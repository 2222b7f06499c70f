-- A LongService follows kstatus: observedGeneration, and the conditions Ready, Reconciling and
-- Stalled (the last two are present only while true). Paused updates and steps that wait for
-- somebody are shown as Suspended, as for a Deployment.
local status = obj.status
if status == nil or status.conditions == nil then
  return { status = "Progressing", message = "Waiting for the operator." }
end
if status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "The newest spec has not been taken up yet." }
end

local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
if found.Stalled ~= nil and found.Stalled.status == "True" then
  return { status = "Degraded", message = found.Stalled.message }
end
local progressing = found.Progressing
if progressing ~= nil and progressing.status == "False" then
  return { status = "Degraded", message = progressing.message }
end
if progressing ~= nil and (progressing.reason == "Paused" or progressing.reason == "StepReached") then
  return { status = "Suspended", message = progressing.message }
end
if found.Ready ~= nil and found.Ready.status == "True" then
  return { status = "Healthy", message = found.Ready.message }
end
return { status = "Progressing", message = found.Ready ~= nil and found.Ready.message or "" }
