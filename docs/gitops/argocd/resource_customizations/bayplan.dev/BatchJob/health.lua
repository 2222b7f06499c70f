-- A BatchJob follows kstatus: observedGeneration, and the conditions Ready, Reconciling and Stalled
-- (the last two are present only while true). Ready of a scheduled job says that its schedule is
-- accepted; a last run that failed makes it Degraded, as Argo CD does for a CronJob.
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
if found.Suspended ~= nil and found.Suspended.status == "True" then
  return { status = "Suspended", message = found.Suspended.message }
end
if found.Ready == nil or found.Ready.status ~= "True" then
  return { status = "Progressing", message = found.Ready ~= nil and found.Ready.message or "" }
end
local last = found.LastRunSucceeded
if last ~= nil and last.status == "False" then
  return { status = "Degraded", message = last.message }
end
return { status = "Healthy", message = found.Ready.message }
